# What each part of the method and each setting that the paper leaves open is worth on the quick
# start's rendered set, at a quarter of its schedule: docs/ablations.md. A row states what it
# changes of `base`.
import runpy

base = 'base'
metrics = ['search/mAP', 'search/mAP_cross_camera', 'search/mAP_gt_boxes', 'det/AP']
prepare = [['misc/make_synthetic_dataset.py', '--out', 'data/synthetic_prw']]
options = {'train_cfg.max_epochs': 2, 'train_cfg.val_interval': 2}

_head = 'model.roi_head'
_reid = f'{_head}.reid_head'
_regions = dict(
    type='SingleRoIExtractor',
    roi_layer=dict(type='RoIAlign', output_size=(8, 4), sampling_ratio=1),
    out_channels=116,
    featmap_strides=[16],
)
_finer_regions = dict(
    type='FineRoIExtractor',
    roi_layer=dict(type='RoIAlign', output_size=(12, 6), sampling_ratio=1),
    out_channels=116,
    fine_channels=88,
)
_own_network = dict(
    attention=dict(type='SoftAttention'),
    network=dict(type='DenseNetIdentification', num_layers=3, growth_rate=32),
)


def _augmented(*steps):
    resize = dict(type='Resize', scale=(480, 270), keep_ratio=True)
    loading = [dict(type='LoadSceneImage'), dict(type='LoadAnnotations', with_bbox=True), resize]
    packing = [dict(type='RandomFlip', prob=0.5), dict(type='PackPersonSearchInputs')]
    return {'train_dataloader.dataset.pipeline': [*loading, *steps, *packing]}


_paper = runpy.run_path('{{ fileDirname }}/../_base_/datasets/scenes.py')['augmentation']

# Three seeds where a claim is made; their spread stands for the rest.
_repeated = {
    'base': {},
    'no-att': {f'{_head}.attention': None},
    'no-stn': {'model.neck': None},
    'separate-fine': {
        'model.backbone.fine_block': 2,
        f'{_head}.reid_network': dict(roi_extractor=_finer_regions, **_own_network),
    },
}
_once = {
    'att-channel': {f'{_head}.attention.mode': 'channel'},
    'att-both': {f'{_head}.attention.mode': 'both'},
    'roi-stn': {'model.neck': None, f'{_head}.region_transformer': {}},
    'stripes1': {f'{_reid}.stripes': 1},
    'embed64': {f'{_reid}.embed_dim': 64},
    'embed512': {f'{_reid}.embed_dim': 512},
    'no-norm': {f'{_reid}.norm': False},
    'norm-aware': {f'{_head}.bbox_head.with_cls': False, f'{_reid}.norm_aware': True},
    'regions12x4': {
        f'{_head}.bbox_roi_extractor.roi_layer.output_size': (12, 4),
        f'{_head}.bbox_head.roi_feat_size': (12, 4),
    },
    'fine': {
        'model.backbone.fine_block': 2,
        f'{_head}.bbox_roi_extractor': dict(
            _finer_regions, roi_layer=_regions['roi_layer'], _delete_=True
        ),
    },
    'separate': {f'{_head}.reid_network': dict(roi_extractor=_regions, **_own_network)},
    'oim-weight01': {f'{_reid}.loss_weight': 0.1},
    'oim-weight05': {f'{_reid}.loss_weight': 0.5},
    'oim-weight1': {f'{_reid}.loss_weight': 1.0},
    'no-warmup': {f'{_reid}.loss_warmup': 0},
    'oim-scalar10': {f'{_reid}.loss.scalar': 10.0},
    'oim-scalar30': {f'{_reid}.loss.scalar': 30.0},
    'oim-momentum0': {f'{_reid}.loss.momentum': 0.0},
    'oim-momentum09': {f'{_reid}.loss.momentum': 0.9},
    'oim-masked': {f'{_reid}.loss.mask_unfilled': True},
    'oim-queue64': {f'{_reid}.loss.queue_size': 64},
    'oim-queue2048': {f'{_reid}.loss.queue_size': 2048},
    'reid-iou50': {f'{_head}.reid_iou': 0.0},
    'reid-iou80': {f'{_head}.reid_iou': 0.8},
    'no-repool': {f'{_head}.repool': False},
    'augment-colour': _augmented(_paper[-1]),
    'augment-paper': _augmented(*_paper),
}
experiments = [
    dict(
        name=name,
        config='../quick_start/ps_densenet_slim_att_synthetic.py',
        options=changes,
        seeds=seeds,
    )
    for rows, seeds in ((_repeated, [0, 1, 2]), (_once, [0]))
    for name, changes in rows.items()
]
