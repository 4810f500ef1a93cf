# Yu et al., Cascade Transformers for End-to-End Person Search, CVPR 2022: three stages, each with
# an attention of its own; the last two embed, both the box that the second has found.
_base_ = 'resnet50_c4.py'

attention = dict(type='PooledRegion', network=dict(type='OccludedAttention'))
model = dict(
    roi_head=dict(
        stages=[
            dict(
                shared_head=dict(
                    type='PooledRegion', network=dict(type='OccludedAttention', exchange=False)
                ),
                bbox_head=_base_.box_head,
                nms_thr=0.4,
            ),
            dict(
                shared_head=attention,
                bbox_head=_base_.norm_aware_box_head,
                iou_thr=0.6,
                nms_thr=0.4,
            ),
            dict(
                shared_head=attention,
                bbox_head=_base_.norm_aware_box_head,
                iou_thr=0.7,
                nms_thr=0.5,
            ),
        ],
        embed_from=(1, 2),
        reid_head=dict(
            type='NormAwareHead',
            in_channels=(1024, 2048),
            embed_dims=(128, 128),
            loss=dict(type='OIMWithClassifier', queue_size=5000, classifier_weight=1.0),
            loss_weight=0.5,
        ),
    ),
    train_cfg=dict(rcnn=dict(sampler=dict(pos_fraction=0.25))),
)
