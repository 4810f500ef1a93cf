# The network of OIM (Xiao et al., CVPR 2017) as the port of it to PyTorch has it.
anchors = dict(
    type='PyFasterRCNNAnchorGenerator',
    scales=[8, 16, 32],
    ratios=[0.5, 1.0, 2.0],
    strides=[16],
)
model = dict(
    type='PersonSearch',
    channels_last=False,
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[102.9801, 115.9465, 122.7717],  # of blue, green and red
        std=[1.0] * 3,
        pad_size_divisor=1,
    ),
    backbone=dict(type='PostSumResNet', frozen_stages=1, norm_eval=True),
    rpn_head=dict(
        type='PyFasterRCNNRPNHead',
        in_channels=1024,
        feat_channels=512,
        anchor_generator=anchors,
        bbox_coder=dict(
            type='PyFasterRCNNBBoxCoder', target_means=[0.0] * 4, target_stds=[1.0] * 4
        ),
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False),
        loss_bbox=dict(type='SmoothL1Loss', beta=1 / 9),
    ),
    roi_head=dict(
        type='PersonSearchRoIHead',
        repool=False,
        bbox_roi_extractor=dict(type='QuantisedRoIPool', output_size=14, out_channels=1024),
        shared_head=dict(type='PostSumResNetIdentification'),
        bbox_head=dict(
            type='PyFasterRCNNBBoxHead',
            with_avg_pool=True,
            in_channels=2048,
            roi_feat_size=7,
            num_classes=1,
            bbox_coder=dict(
                type='PyFasterRCNNBBoxCoder',
                target_means=[0.0] * 4,
                target_stds=[0.1, 0.1, 0.2, 0.2],
            ),
        ),
        reid_head=dict(
            type='ReIDHead',
            embed_dim=256,
            norm=False,
            bias=True,
            loss=dict(type='OIMLoss', queue_size=5000, scalar=10.0),
        ),
    ),
    train_cfg=dict(
        rpn=dict(
            assigner=dict(
                type='MaxIoUAssigner',
                pos_iou_thr=0.7,
                neg_iou_thr=0.3,
                min_pos_iou=0.0,
                ignore_iof_thr=-1,
            ),
            sampler=dict(
                type='RandomSampler',
                num=256,
                pos_fraction=0.5,
                neg_pos_ub=-1,
                add_gt_as_proposals=False,
            ),
            allowed_border=0,
            pos_weight=-1,
            debug=False,
        ),
        rpn_proposal=dict(
            nms_pre=12000,
            max_per_img=2000,
            nms=dict(type='nms', iou_threshold=0.7),
            min_bbox_size=-1,
        ),
        rcnn=dict(
            assigner=dict(
                type='MaxIoUAssigner',
                pos_iou_thr=0.5,
                neg_iou_thr=0.5,
                min_pos_iou=0.5,
                match_low_quality=False,
                ignore_iof_thr=-1,
            ),
            sampler=dict(
                type='RandomSampler',
                num=128,
                pos_fraction=0.25,
                neg_pos_ub=-1,
                add_gt_as_proposals=True,
            ),
            pos_weight=-1,
            debug=False,
        ),
    ),
    test_cfg=dict(
        rpn=dict(
            nms_pre=6000,
            max_per_img=300,
            nms=dict(type='nms', iou_threshold=0.7),
            min_bbox_size=-1,
        ),
        rcnn=dict(score_thr=0.05, nms=dict(type='nms', iou_threshold=0.4), max_per_img=300),
    ),
)
