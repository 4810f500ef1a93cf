_base_ = 'base.py'

model = dict(roi_head=dict(reid_head=dict(embed_dim=512)))
