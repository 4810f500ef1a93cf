_base_ = 'base.py'

model = dict(
    roi_head=dict(
        bbox_roi_extractor=dict(roi_layer=dict(output_size=(12, 4))),
        bbox_head=dict(roi_feat_size=(12, 4)),
    )
)
