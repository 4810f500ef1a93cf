# Chen et al., Norm-Aware Embedding for Efficient Person Search, CVPR 2020: one stage.
_base_ = 'resnet50_c4.py'

model = dict(
    rpn_head=dict(loss_bbox=dict(type='L1Loss', _delete_=True)),
    roi_head=dict(
        stages=[dict(shared_head=_base_.region_network, bbox_head=_base_.norm_aware_box_head)],
        reid_head=dict(
            type='NormAwareHead',
            in_channels=(1024, 2048),
            embed_dims=(128, 128),
            loss=dict(queue_size=5000, momentum=0.5, scalar=30.0),
        ),
    ),
    # Between the two a region is neither.
    train_cfg=dict(rcnn=dict(assigner=dict(pos_iou_thr=0.5, neg_iou_thr=0.1))),
)
