_base_ = '../ps_densenet121_att_prw.py'

model = dict(roi_head=dict(attention=dict(mode='channel')))
