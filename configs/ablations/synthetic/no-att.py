_base_ = 'base.py'

model = dict(roi_head=dict(attention=None))
