# The network of OIM (Xiao et al., CVPR 2017) as the port of it to PyTorch has it.
_base_ = 'faster_rcnn.py'

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
)
