_base_ = '../ps_densenet121_att_prw.py'

# The spatial transformer aligns each region instead of the whole map.
model = dict(neck=None, roi_head=dict(region_transformer=dict()))
