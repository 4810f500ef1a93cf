_base_ = 'ps_googlenet_cuhk_sysu.py'

model = dict(roi_head=dict(attention=dict(type='SoftAttention')))
