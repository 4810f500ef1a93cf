_base_ = 'base.py'

model = dict(roi_head=dict(reid_iou=0.0))
