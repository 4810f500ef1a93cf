_base_ = 'ps_googlenet_prw.py'

model = dict(roi_head=dict(attention=dict(type='SoftAttention')))
