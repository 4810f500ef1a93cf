_base_ = 'ps_densenet121_prw.py'

model = dict(roi_head=dict(attention=dict(type='SoftAttention')))
