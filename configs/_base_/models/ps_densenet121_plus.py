# DenseNet-121 with what paid in docs/ablations.md: a network for re-ID alone, which also sees the
# stem's map at stride 8, in regions of the paper's 256 x 128 patches at stride 16.
_base_ = 'ps_densenet121.py'

model = dict(
    backbone=dict(fine_block=2),
    roi_head=dict(
        attention=dict(type='SoftAttention'),
        reid_iou=0.7,
        reid_network=dict(
            roi_extractor=dict(
                type='FineRoIExtractor',
                roi_layer=dict(type='RoIAlign', output_size=(16, 8), sampling_ratio=2),
                out_channels=512,
                fine_channels=512,
            ),
            attention=dict(type='SoftAttention'),
            network=dict(type='DenseNetIdentification', norm_eval=True),
        ),
        # A step has few labelled people, and detectors never draw a box twice in the same place.
        reid_jitter=dict(copies=3),
        # Of two rows each.
        reid_head=dict(stripes=8),
    ),
    train_cfg=dict(
        rcnn=dict(assigner=dict(pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5)),
    ),
)
