# The baseline of person search: a detector, then a re-ID network on what it finds, with weights of
# their own. Both learn in one run, from the same scenes.
_base_ = [
    '../_base_/datasets/prw.py',
    '../_base_/schedules/adamw_8e.py',
    '../_base_/default_runtime.py',
]

norm_cfg, act_cfg = dict(type='BN'), dict(type='SiLU', inplace=True)
model = dict(
    type='TwoStepPersonSearch',
    detector=dict(
        type='RTMDet',
        data_preprocessor=dict(
            type='DetDataPreprocessor',
            mean=[103.53, 116.28, 123.675],
            std=[57.375, 57.12, 58.395],
        ),
        backbone=dict(
            type='CSPNeXt',
            deepen_factor=0.167,
            widen_factor=0.375,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
        ),
        neck=dict(
            type='CSPNeXtPAFPN',
            in_channels=[96, 192, 384],
            out_channels=96,
            num_csp_blocks=1,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
        ),
        bbox_head=dict(
            type='RTMDetSepBNHead',
            num_classes=1,
            in_channels=96,
            feat_channels=96,
            stacked_convs=2,
            exp_on_reg=False,
            share_conv=True,
            with_objectness=False,
            anchor_generator=dict(type='MlvlPointGenerator', offset=0, strides=[8, 16, 32]),
            bbox_coder=dict(type='DistancePointBBoxCoder'),
            loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True, beta=2.0),
            loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
        ),
        train_cfg=dict(
            assigner=dict(type='DynamicSoftLabelAssigner', topk=13),
            allowed_border=-1,
            pos_weight=-1,
        ),
        test_cfg=dict(
            nms_pre=30000,
            min_bbox_size=0,
            score_thr=0.001,
            nms=dict(type='nms', iou_threshold=0.65),
            max_per_img=300,
        ),
    ),
    detector_pipeline=[
        dict(type='Resize', scale=(1280, 1280), keep_ratio=True),
        dict(type='Pad', size=(1280, 1280), pad_val=dict(img=(114, 114, 114))),
    ],
    reid=dict(
        type='ReIDNetwork',
        backbone=dict(
            type='ResNet',
            depth=50,
            out_indices=(3,),
            init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'),
        ),
        head=dict(type='ReIDHead', in_channels=2048, num_ids=483, embed_dim=256),
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
)

# Both networks resize for themselves.
train_pipeline = [
    dict(type='LoadSceneImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackPersonSearchInputs'),
]
test_pipeline = [
    dict(type='LoadSceneImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackPersonSearchInputs'),
]
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
# The schedule slows down a spatial transformer, which these networks have not.
optim_wrapper = dict(optimizer=dict(lr=1e-3), paramwise_cfg=None)
