_base_ = 'base.py'

model = dict(roi_head=dict(bbox_head=dict(with_cls=False), reid_head=dict(norm_aware=True)))
