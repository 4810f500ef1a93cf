_base_ = 'base.py'

model = dict(
    backbone=dict(fine_block=2),
    roi_head=dict(
        bbox_roi_extractor=dict(
            _delete_=True,
            type='FineRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=(8, 4), sampling_ratio=1),
            out_channels=116,
            fine_channels=88,
        )
    ),
)
