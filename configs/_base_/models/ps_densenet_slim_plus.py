# The slim DenseNet with what paid in docs/ablations.md: a network for re-ID alone, which also sees
# the stem's map at stride 8, and more of OIM's gradient in what remains shared.
_base_ = 'ps_densenet_slim.py'

model = dict(
    backbone=dict(fine_block=2),
    roi_head=dict(
        attention=dict(type='SoftAttention'),
        reid_network=dict(
            roi_extractor=dict(
                type='FineRoIExtractor',
                roi_layer=dict(type='RoIAlign', output_size=(12, 6), sampling_ratio=1),
                out_channels=116,
                fine_channels=88,
            ),
            attention=dict(type='SoftAttention'),
            network=dict(type='DenseNetIdentification', num_layers=3, growth_rate=48),
        ),
        # A step has few labelled people, and detectors never draw a box twice in the same place.
        reid_jitter=dict(copies=3),
        reid_head=dict(stripes=6, loss_weight=0.5, loss_warmup=100),
    ),
)
