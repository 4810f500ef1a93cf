_base_ = 'base.py'

model = dict(roi_head=dict(repool=False))
