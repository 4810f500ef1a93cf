_base_ = 'ps_densenet121_cuhk_sysu.py'

model = dict(roi_head=dict(attention=dict(type='SoftAttention')))
