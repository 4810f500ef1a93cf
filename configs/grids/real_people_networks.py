# The paper's six networks on real people, narrow enough for CPUs, from random weights:
# docs/real_people.md. The recipe is the quick start's.
metrics = ['search/mAP', 'search/top1', 'search/mAP_gt_boxes', 'det/AP']
base = 'densenet'

_data = dict(type='CocoPersonSearchDataset', data_root='data/collage')
options = dict(
    model=dict(roi_head=dict(reid_head=dict(num_ids=1443))),
    train_dataloader=dict(dataset=_data),
    val_dataloader=dict(dataset=_data),
    test_dataloader=dict(dataset=_data),
    train_cfg=dict(max_epochs=4, val_interval=4),
)


def _network(backbone, region_network, channels, region_channels, region_size):
    """Another stem and identification network in the quick start's model."""
    return dict(
        backbone=dict(_delete_=True, **backbone),
        neck=dict(in_channels=channels),
        rpn_head=dict(in_channels=channels),
        roi_head=dict(
            bbox_roi_extractor=dict(out_channels=channels),
            shared_head=dict(_delete_=True, **region_network),
            bbox_head=dict(in_channels=region_channels, roi_feat_size=region_size),
        ),
    )


_googlenet = _network(
    dict(type='GoogLeNet', width=0.25),
    dict(type='GoogLeNetIdentification', in_channels=208, width=0.25),
    channels=208,
    region_channels=256,
    region_size=(8, 4),
)
_resnet50 = _network(
    dict(
        type='ResNet',
        depth=50,
        base_channels=16,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(2,),
        frozen_stages=-1,
        norm_eval=False,
    ),
    # Stage 1 of the full width has the channels of the last stage at a quarter of it.
    dict(type='ResLayer', depth=50, stage=1, stride=2, norm_eval=False),
    channels=256,
    region_channels=512,
    region_size=(4, 2),
)
_slim = '../quick_start/ps_densenet_slim_att_synthetic.py'
_networks = [('googlenet', _googlenet), ('resnet50', _resnet50), ('densenet', {})]

experiments = [
    dict(
        name=name,
        config=_slim,
        options={'model': network, 'model.roi_head.attention': None},
    )
    for name, network in _networks
]
experiments += [
    dict(name=f'{name}-att', config=_slim, options=dict(model=network))
    for name, network in _networks
]
