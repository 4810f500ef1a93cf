_base_ = 'base.py'

model = dict(
    backbone=dict(fine_block=2),
    roi_head=dict(
        reid_network=dict(
            roi_extractor=dict(
                type='FineRoIExtractor',
                roi_layer=dict(type='RoIAlign', output_size=(12, 6), sampling_ratio=1),
                out_channels=116,
                fine_channels=88,
            ),
            attention=dict(type='SoftAttention'),
            network=dict(type='DenseNetIdentification', num_layers=3, growth_rate=32),
        )
    ),
)
