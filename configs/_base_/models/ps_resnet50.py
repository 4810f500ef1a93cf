_base_ = 'person_search.py'

model = dict(
    pretrained='https://download.pytorch.org/models/resnet50-0676ba61.pth',
    backbone=dict(
        type='ResNet',
        depth=50,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(2,),
        frozen_stages=1,
        norm_eval=True,
    ),
    neck=dict(in_channels=1024),
    rpn_head=dict(in_channels=1024),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=1024),
        shared_head=dict(type='ResLayer', depth=50, stage=3, stride=2),
        bbox_head=dict(in_channels=2048, roi_feat_size=7),
    ),
)
