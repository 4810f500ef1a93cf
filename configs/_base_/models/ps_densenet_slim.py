# A DenseNet small enough to learn on two CPU cores in minutes from random weights, for people of
# 50 to 190 pixels.
_base_ = 'person_search.py'

model = dict(
    # Not 32: nothing in this network is coarser, and 270 pixels need 272 then, not 288.
    data_preprocessor=dict(pad_size_divisor=16),
    # Uncompressed where maps are large: texture has to survive to stride 16 in few channels.
    backbone=dict(
        type='DenseNet',
        block_layers=(1, 3, 6),
        growth_rate=(16, 16, 24),
        compression=(1.0, 1.0, 0.5),
        init_channels=24,
    ),
    neck=dict(in_channels=116, max_linear=0.05, max_shift=0.05),
    rpn_head=dict(
        in_channels=116,
        feat_channels=64,
        # Nine anchors for people of 50 to 190 pixels.
        anchor_generator=dict(scales=[2.2, 3.6, 6.0], ratios=[1.5, 2.5, 4.0]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(
            out_channels=116, roi_layer=dict(output_size=(8, 4), sampling_ratio=1)
        ),
        shared_head=dict(
            type='DenseNetIdentification', in_channels=116, num_layers=3, growth_rate=32
        ),
        # Behind so thin a network average pooling leaves too little of where the person is.
        bbox_head=dict(
            type='ConvFCBBoxHead',
            with_avg_pool=False,
            num_shared_fcs=1,
            fc_out_channels=128,
            in_channels=212,
            roi_feat_size=(8, 4),
        ),
        # Regions cut too loosely blur what tells people apart; detection needs them all the same.
        reid_iou=0.7,
        reid_head=dict(
            embed_dim=128,
            stripes=3,
            # From random weights OIM at full strength stalls detection.
            loss=dict(queue_size=512, scalar=16.0),
            loss_weight=0.25,
            loss_warmup=100,
        ),
    ),
    train_cfg=dict(
        # People of a few cells: a stricter overlap, among more anchors, leaves hardly any to learn
        # from.
        rpn=dict(
            assigner=dict(pos_iou_thr=0.5),
            sampler=dict(num=64),
            allowed_border=-1,
        ),
        rpn_proposal=dict(nms_pre=600, max_per_img=200),
        rcnn=dict(
            assigner=dict(pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5),
            sampler=dict(num=32, pos_fraction=0.5),
        ),
    ),
    # People who overlap each other survive both suppressions more often than at the usual 0.7 and
    # 0.4, which costs precision nothing here.
    test_cfg=dict(
        rpn=dict(nms_pre=300, max_per_img=100, nms=dict(iou_threshold=0.8)),
        rcnn=dict(max_per_img=30, nms=dict(iou_threshold=0.5)),
    ),
)
