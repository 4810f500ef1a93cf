# Attention behind the network for re-ID instead of before it.
_base_ = 'reid_alone_no-att.py'

model = dict(roi_head=dict(reid_head=dict(stripe_attention=True)))
