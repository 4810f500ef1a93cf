# torchvision's Faster R-CNN on ResNet-50-C4, which most published methods are built on, as it
# computes: where a value differs from mmdet's own, the published weights learned with this one.
_base_ = 'faster_rcnn.py'

region_network = dict(
    type='PooledRegion',
    network=dict(type='ResLayer', depth=50, stage=3, stride=2, norm_eval=False),
)
box_head = dict(
    type='BBoxHead',
    in_channels=2048,
    roi_feat_size=1,
    num_classes=1,
    # The clamp of the centre, far away, is what makes mmdet leave small sides as they are.
    bbox_coder=dict(
        type='DeltaXYWHBBoxCoder',
        target_means=[0.0] * 4,
        target_stds=[0.1, 0.1, 0.2, 0.2],
        add_ctr_clamp=True,
        ctr_clamp=1e9,
    ),
    loss_bbox=dict(type='SmoothL1Loss', beta=1.0, loss_weight=10.0),
    init_cfg=[],
)
# Norm-aware: the re-ID head tells people apart from background.
norm_aware_box_head = dict(box_head, with_cls=False, reg_predictor_cfg=dict(type='LinearNorm'))

model = dict(
    type='PersonSearch',
    pretrained='https://download.pytorch.org/models/resnet50-0676ba61.pth',
    # Batch norm takes part in training everywhere; only these weights stay as they are.
    frozen=('backbone.conv1', 'backbone.bn1'),
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
    ),
    backbone=dict(
        type='ResNet',
        depth=50,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(2,),
        frozen_stages=-1,
        norm_eval=False,
    ),
    rpn_head=dict(
        type='RPNHead',
        in_channels=1024,
        feat_channels=1024,
        anchor_generator=dict(
            type='RoundedAnchorGenerator',
            scales=[2, 4, 8, 16, 32],  # 32 to 512 pixels at stride 16
            ratios=[0.5, 1.0, 2.0],
            strides=[16],
        ),
        bbox_coder=dict(
            type='DeltaXYWHBBoxCoder',
            target_means=[0.0] * 4,
            target_stds=[1.0] * 4,
            add_ctr_clamp=True,
            ctr_clamp=1e9,
        ),
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True),
        loss_bbox=dict(type='SmoothL1Loss', beta=1 / 9),
    ),
    roi_head=dict(
        type='SequentialRoIHead',
        bbox_roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=2, aligned=False),
            out_channels=1024,
            featmap_strides=[16],
        ),
    ),
    train_cfg=dict(
        rpn=dict(allowed_border=-1),
        rpn_proposal=dict(min_bbox_size=1e-3),
        rcnn=dict(sampler=dict(pos_fraction=0.5)),
    ),
    test_cfg=dict(
        rpn=dict(min_bbox_size=1e-3),
        rcnn=dict(score_thr=0.5, min_box_size=1e-2),
    ),
)
