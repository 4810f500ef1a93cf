_base_ = 'person_search.py'

model = dict(
    pretrained='https://download.pytorch.org/models/densenet121-a639ec97.pth',
    backbone=dict(type='DenseNet', frozen_stages=2, norm_eval=True),
    neck=dict(in_channels=512),
    rpn_head=dict(in_channels=512),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=512),
        shared_head=dict(type='DenseNetIdentification', norm_eval=True),
        bbox_head=dict(in_channels=1024),
    ),
)
