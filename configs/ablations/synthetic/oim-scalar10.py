_base_ = 'base.py'

model = dict(roi_head=dict(reid_head=dict(loss=dict(scalar=10.0))))
