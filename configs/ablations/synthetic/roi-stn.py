_base_ = 'base.py'

model = dict(neck=None, roi_head=dict(region_transformer=dict()))
