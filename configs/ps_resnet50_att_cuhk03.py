_base_ = 'ps_resnet50_cuhk03.py'

model = dict(roi_head=dict(attention=dict(type='SoftAttention')))
