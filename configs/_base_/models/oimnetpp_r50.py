# Lee et al., OIMNet++: Prototypical Normalization and Localization-Aware Learning for Person
# Search, ECCV 2022: one stage, whose box head tells people apart from background.
_base_ = 'resnet50_c4.py'

model = dict(
    # 8, 16 and 32 pixels, which the published weights learned with.
    rpn_head=dict(anchor_generator=dict(scales=[0.5, 1, 2])),
    roi_head=dict(
        stages=[dict(shared_head=_base_.region_network, bbox_head=_base_.box_head)],
        reid_head=dict(
            type='NormAwareHead',
            in_channels=(2048,),
            embed_dims=(256,),
            bias=False,
            norm=dict(type='PrototypeNorm', affine=False),
            logit=False,
            loss=dict(queue_size=5000, momentum='iou', scalar=30.0),
        ),
    ),
    test_cfg=dict(rcnn=dict(min_box_size=0.0)),
)
