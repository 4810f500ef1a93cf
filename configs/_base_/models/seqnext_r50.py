# SeqNeXt on ResNet-50, whose batch norm is not trained.
_base_ = 'seqnext_convnext-b.py'

norm_cfg = dict(type='BN', requires_grad=False)
region_network = dict(
    type='PooledRegion',
    network=dict(type='ResLayer', depth=50, stage=3, stride=2, norm_cfg=norm_cfg, norm_eval=True),
)
box_head = dict(_base_.box_head, in_channels=2048)
model = dict(
    pretrained='https://download.pytorch.org/models/resnet50-0676ba61.pth',
    frozen=(),
    backbone=dict(
        _delete_=True,
        type='ResNet',
        depth=50,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(2,),
        frozen_stages=1,
        norm_cfg=norm_cfg,
        norm_eval=True,
    ),
    rpn_head=dict(in_channels=1024, feat_channels=1024),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=1024),
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
        reid_head=dict(in_channels=(1024, 2048)),
    ),
)
