_base_ = 'base.py'

model = dict(
    roi_head=dict(
        reid_network=dict(
            roi_extractor=dict(
                type='SingleRoIExtractor',
                roi_layer=dict(type='RoIAlign', output_size=(8, 4), sampling_ratio=1),
                out_channels=116,
                featmap_strides=[16],
            ),
            attention=dict(type='SoftAttention'),
            network=dict(type='DenseNetIdentification', num_layers=3, growth_rate=32),
        )
    )
)
