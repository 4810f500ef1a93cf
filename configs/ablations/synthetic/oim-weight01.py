_base_ = 'base.py'

model = dict(roi_head=dict(reid_head=dict(loss_weight=0.1)))
