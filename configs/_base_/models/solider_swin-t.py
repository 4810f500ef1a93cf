# Chen et al., Beyond Appearance: a Semantic Controllable Self-Supervised Learning Framework for
# Human-Centric Visual Tasks, CVPR 2023: SeqNet on a Swin that is told how semantic to be.
_base_ = 'seqnet_r50.py'

# Blocks are left out the more often the later they are, of 12 in all.
region_network = dict(
    type='PooledRegion',
    pool='avg',
    network=dict(
        type='SemanticSwinIdentification', semantic_weight=0.6, drop_path_rates=(0.1 * 10 / 11, 0.1)
    ),
)
first, second = _base_.model.roi_head.stages
model = dict(
    pretrained=None,
    frozen=(),
    backbone=dict(
        _delete_=True, type='SemanticSwin', semantic_weight=0.6, drop_path_rate=0.1 * 9 / 11
    ),
    rpn_head=dict(
        in_channels=384,
        feat_channels=384,
        loss_bbox=dict(type='SmoothL1Loss', beta=1 / 9, _delete_=True),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=384),
        stages=[
            dict(
                one,
                shared_head=region_network,
                bbox_head=dict(one.bbox_head, in_channels=768),
            )
            for one in (first, second)
        ],
        reid_head=dict(in_channels=(384, 768)),
    ),
)
