_base_ = '../ps_densenet121_att_prw.py'

model = dict(roi_head=dict(reid_head=dict(embed_dim=256)))
