# Li and Miao, Sequential End-to-End Network for Efficient Person Search, AAAI 2021: boxes are found
# and moved first, then embedded and moved once more.
_base_ = 'resnet50_c4.py'

model = dict(
    # torchvision 0.4, which it was trained with, has the L1 loss here.
    rpn_head=dict(loss_bbox=dict(type='L1Loss', _delete_=True)),
    roi_head=dict(
        stages=[
            dict(shared_head=_base_.region_network, bbox_head=_base_.box_head, nms_thr=0.4),
            dict(
                shared_head=_base_.region_network,
                bbox_head=dict(
                    _base_.norm_aware_box_head, loss_bbox=dict(type='SmoothL1Loss', beta=1.0)
                ),
                nms_thr=0.5,
            ),
        ],
        reid_head=dict(
            type='NormAwareHead',
            in_channels=(1024, 2048),
            embed_dims=(128, 128),
            loss=dict(queue_size=5000, momentum=0.5, scalar=30.0),
        ),
    ),
)
