_base_ = '../ps_densenet121_att_prw.py'

model = dict(neck=None)
