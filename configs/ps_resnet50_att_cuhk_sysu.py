_base_ = 'ps_resnet50_cuhk_sysu.py'

model = dict(roi_head=dict(attention=dict(type='SoftAttention')))
