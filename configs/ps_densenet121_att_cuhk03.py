_base_ = 'ps_densenet121_cuhk03.py'

model = dict(roi_head=dict(attention=dict(type='SoftAttention')))
