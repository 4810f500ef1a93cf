# The paper's six networks on a rendered set: both tables in one command on one CPU core. It shows
# that the whole way from pictures to tables works. Random weights, small pictures and few of them
# make the numbers what they are; they say nothing about the paper's.
_base_ = '_base_/paper.py'

_root = 'data/synthetic_prw_grid'
_identities = 40
# Two thirds of the rendered size: half the operations of the stem.
_scale = (320, 180)
_epochs = 2

prepare = [
    [
        'misc/make_synthetic_dataset.py',
        *['--out', _root],
        *['--images', 120, '--identities', _identities],
        *['--test-images', 24, '--test-identities', 15, '--queries', 40],
        *['--workers', 1],
    ]
]

_loaded = [
    dict(type='LoadSceneImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=_scale, keep_ratio=True),
]
_packed = dict(type='PackPersonSearchInputs')
_train = [*_loaded, dict(type='RandomFlip', prob=0.5), _packed]
# Boxes and queries stay in original pixels.
_test = [_loaded[0], _loaded[2], _loaded[1], _packed]


def _loader(pipeline):
    return dict(
        batch_size=4,
        num_workers=0,
        persistent_workers=False,
        dataset=dict(data_root=_root, pipeline=pipeline),
    )


# The settings of the quick start, whose comments give the reasons, for the paper's networks.
options = dict(
    model=dict(
        pretrained=None,
        channels_last=True,
        data_preprocessor=dict(pad_size_divisor=16),
        # Nothing is worth freezing in random weights, and statistics have to be learnt.
        backbone=dict(norm_eval=False, frozen_stages=0),
        neck=dict(max_linear=0.05, max_shift=0.05),
        rpn_head=dict(
            feat_channels=128,
            anchor_generator=dict(scales=[1.5, 2.4, 4.0], ratios=[1.5, 2.5, 4.0]),
        ),
        roi_head=dict(
            bbox_roi_extractor=dict(roi_layer=dict(output_size=(8, 4), sampling_ratio=1)),
            shared_head=dict(norm_eval=False),
            bbox_head=dict(roi_feat_size=(8, 4)),
            reid_iou=0.7,
            reid_head=dict(
                num_ids=_identities,
                embed_dim=128,
                loss=dict(queue_size=256, scalar=16.0),
                loss_weight=0.25,
                loss_warmup=20,
            ),
        ),
        train_cfg=dict(
            rpn=dict(assigner=dict(pos_iou_thr=0.5), sampler=dict(num=64), allowed_border=-1),
            rpn_proposal=dict(nms_pre=600, max_per_img=200),
            rcnn=dict(
                assigner=dict(pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5),
                sampler=dict(num=16, pos_fraction=0.5),
            ),
        ),
        test_cfg=dict(
            rpn=dict(nms_pre=300, max_per_img=40, nms=dict(iou_threshold=0.8)),
            rcnn=dict(max_per_img=20, nms=dict(iou_threshold=0.5)),
        ),
    ),
    train_dataloader=_loader(_train),
    test_dataloader=_loader(_test),
    # After so little training a network is sure of nobody.
    test_evaluator=dict(score_thr=0.1),
    # The test follows at once.
    val_dataloader=None,
    val_evaluator=None,
    val_cfg=None,
    train_cfg=dict(max_epochs=_epochs),
    param_scheduler=[
        dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=10),
        dict(
            type='CosineAnnealingLR',
            by_epoch=True,
            convert_to_iter_based=True,
            T_max=_epochs,
            eta_min=1e-5,
        ),
    ],
    optim_wrapper=dict(
        optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=1e-4),
        clip_grad=dict(max_norm=10, norm_type=2),
        paramwise_cfg=dict(custom_keys=dict(neck=dict(lr_mult=0.1))),
    ),
    default_hooks=dict(logger=dict(interval=5)),
)
# ResNet's first stage is not 1 but 0, and conv5 halves the regions.
_resnet = dict(
    model=dict(backbone=dict(frozen_stages=-1), roi_head=dict(bbox_head=dict(roi_feat_size=(4, 2))))
)
_networks = [('googlenet', 'GoogleNet', {}), ('resnet50', 'ResNet50', _resnet)]
_networks += [('densenet121', 'DenseNet121', {})]

experiments = [
    dict(
        config=f'../ps_{network}{attention}_prw.py',
        row=row + attention,
        column='synthetic PRW',
        options=extra,
    )
    for attention in ('', '_att')
    for network, row, extra in _networks
]
