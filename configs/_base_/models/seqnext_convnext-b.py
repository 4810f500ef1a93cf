# Jaffe and Zakhor, Gallery Filter Network for Person Search, WACV 2023: SeqNet with a newer stem,
# a class and a box of its own in the second stage, and wide embeddings.
_base_ = 'resnet50_c4.py'

region_network = dict(
    type='PooledRegion',
    # Blocks are left out the more often the later they are, of 36 in all.
    network=dict(type='ConvNeXtIdentification', drop_path_rates=(0.5 * 33 / 35, 0.5)),
)
box_head = dict(_base_.box_head, in_channels=1024)
model = dict(
    pretrained='https://download.pytorch.org/models/convnext_base-6075fbad.pth',
    frozen=('backbone.features.0.',),
    backbone=dict(_delete_=True, type='ConvNeXt', drop_path_rates=(0.0, 0.5 * 32 / 35)),
    rpn_head=dict(in_channels=512, feat_channels=512),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=512),
        stages=[
            dict(shared_head=region_network, bbox_head=box_head, nms_thr=0.4),
            dict(
                shared_head=region_network,
                bbox_head=dict(
                    box_head,
                    cls_predictor_cfg=dict(type='OneLogit'),
                    loss_bbox=dict(type='SmoothL1Loss', beta=1.0),
                ),
                nms_thr=0.5,
            ),
        ],
        score='last',
        reid_head=dict(
            type='NormAwareHead',
            in_channels=(512, 1024),
            embed_dims=(1024, 1024),
            logit=False,
            loss=dict(queue_size=5000, unfilled_similarity=-1.0, mean_over='people'),
        ),
    ),
)
