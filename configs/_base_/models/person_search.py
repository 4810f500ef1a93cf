# What the paper's networks have in common; a stem and an identification network make it complete.
_base_ = 'faster_rcnn.py'

model = dict(
    type='PersonSearch',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
    ),
    neck=dict(type='STN'),
    rpn_head=dict(
        type='RPNHead',
        feat_channels=512,
        anchor_generator=dict(
            type='AnchorGenerator',
            scales=[8, 16, 32],  # 128, 256 and 512 pixels at stride 16
            ratios=[0.5, 1.0, 2.0],
            strides=[16],
        ),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=[1.0] * 4),
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True),
        # lambda / N_reg of the paper is 10 / 2400; mmdet divides by the 256 sampled anchors.
        loss_bbox=dict(type='SmoothL1Loss', beta=1 / 9, loss_weight=10 * 256 / 2400),
    ),
    roi_head=dict(
        type='PersonSearchRoIHead',
        bbox_roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=2),
            featmap_strides=[16],
        ),
        bbox_head=dict(
            type='BBoxHead',
            with_avg_pool=True,
            roi_feat_size=14,
            num_classes=1,
            bbox_coder=dict(
                type='DeltaXYWHBBoxCoder',
                target_means=[0.0] * 4,
                target_stds=[0.1, 0.1, 0.2, 0.2],
            ),
        ),
        reid_head=dict(
            type='ReIDHead',
            embed_dim=2048,
            loss=dict(type='OIMLoss', queue_size=2048, momentum=0.5, scalar=30.0),
        ),
    ),
    train_cfg=dict(
        rpn=dict(assigner=dict(min_pos_iou=0.3)),
        rpn_proposal=dict(min_bbox_size=0),
        rcnn=dict(assigner=dict(pos_iou_thr=0.75, neg_iou_thr=0.75, min_pos_iou=0.75)),
    ),
    test_cfg=dict(rpn=dict(min_bbox_size=0), rcnn=dict(max_per_img=100)),
)
