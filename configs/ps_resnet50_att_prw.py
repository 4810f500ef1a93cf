_base_ = 'ps_resnet50_prw.py'

model = dict(roi_head=dict(attention=dict(type='SoftAttention')))
