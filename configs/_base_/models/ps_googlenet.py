_base_ = 'person_search.py'

model = dict(
    pretrained='https://download.pytorch.org/models/googlenet-1378be20.pth',
    # The published weights expect images scaled to [-1, 1].
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3),
    backbone=dict(type='GoogLeNet', frozen_stages=1, norm_eval=True),
    neck=dict(in_channels=832),
    rpn_head=dict(in_channels=832),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=832),
        shared_head=dict(type='GoogLeNetIdentification', norm_eval=True),
        bbox_head=dict(in_channels=1024),
    ),
)
