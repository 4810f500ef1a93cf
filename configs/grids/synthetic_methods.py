# The field's methods beside the paper's network on the quick start's rendered set: the same slim
# stem, region proposals, images, steps and optimiser; each with the heads of its own:
# docs/ablations.md.
base = 'base'
metrics = ['search/mAP', 'search/mAP_cross_camera', 'search/mAP_gt_boxes', 'det/AP']
prepare = [['misc/make_synthetic_dataset.py', '--out', 'data/synthetic_prw']]

_channels = dict(stem=116, region=212)
_network = dict(
    type='DenseNetIdentification', in_channels=_channels['stem'], num_layers=3, growth_rate=32
)
_cells = (8, 4)


def _method(region, stages, cells=1, box_weight=1.0, classifier=None, **settings):
    """RoI head of a method: what each stage sees of a region, and whether it classifies.

    Args:
        region: Config of the network of each stage.
        stages: For each what it adds; `norm_aware`: re-ID's length says whether it is a person.
        cells: Of a region that heads see: one, pooled as published, or all.
        box_weight: Weight of the box loss of norm-aware stages; of the others 10.
    """
    width = {name: channels * cells for name, channels in _channels.items()}
    box_head = dict(
        type='BBoxHead',
        in_channels=width['region'],
        roi_feat_size=1,
        num_classes=1,
        bbox_coder=dict(
            type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2]
        ),
        loss_bbox=dict(type='SmoothL1Loss', beta=1.0, loss_weight=10.0),
    )
    norm_aware = dict(
        box_head,
        with_cls=False,
        reg_predictor_cfg=dict(type='LinearNorm'),
        loss_bbox=dict(box_head['loss_bbox'], loss_weight=box_weight),
    )
    built = []
    for stage in stages:
        stage = dict(stage)
        head = norm_aware if stage.pop('norm_aware', True) else box_head
        built.append(dict(dict(shared_head=region, bbox_head=head), **stage))
    loss = dict(queue_size=512, scalar=16.0)
    if classifier is not None:
        loss.update(type='OIMWithClassifier', classifier_weight=classifier)
    return {
        'model.neck': None,
        'model.roi_head': dict(
            type='SequentialRoIHead',
            bbox_roi_extractor=dict(
                type='SingleRoIExtractor',
                roi_layer=dict(type='RoIAlign', output_size=_cells, sampling_ratio=1),
                out_channels=_channels['stem'],
                featmap_strides=[16],
            ),
            stages=built,
            reid_head=dict(
                type='NormAwareHead',
                num_ids=300,
                in_channels=tuple(width.values()),
                embed_dims=(64, 64),
                loss=loss,
                loss_weight=0.25,
                loss_warmup=100,
            ),
            _delete_=True,
            **settings,
        ),
    }


def _pooled(network, **settings):
    return dict(type='PooledRegion', network=network, **settings)


_attention = dict(
    type='OccludedAttention',
    in_channels=_channels['stem'],
    out_channels=_channels['region'],
    width=128,
)
_seqnet = [dict(norm_aware=False, nms_thr=0.5), dict(nms_thr=0.5)]
_all_cells = _cells[0] * _cells[1]

_rows = {
    'base': {},
    'nae': _method(_pooled(_network), [dict()], box_weight=10.0),
    'seqnet': _method(_pooled(_network), _seqnet),
    'coat': _method(
        _pooled(_attention),
        [
            dict(
                norm_aware=False,
                shared_head=_pooled(dict(_attention, exchange=False)),
                nms_thr=0.5,
            ),
            dict(iou_thr=0.6, nms_thr=0.5),
            dict(iou_thr=0.7, nms_thr=0.5),
        ],
        embed_from=(1, 2),
        classifier=1.0,
        box_weight=10.0,
    ),
    # Not as published: heads see where in the region things are, as the paper's network here does.
    'seqnet-cells': _method(_pooled(_network, pool=None), _seqnet, cells=_all_cells),
}
experiments = [
    dict(
        name=name,
        config='../quick_start/ps_densenet_slim_att_synthetic.py',
        options=changes,
        # Of the two best: how far single runs can be trusted.
        seeds=[0, 1, 2] if name in ('base', 'coat') else [0],
    )
    for name, changes in _rows.items()
]
