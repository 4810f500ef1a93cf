# Attention behind the network for re-ID instead of before it.
_base_ = 'reid_alone.py'

model = dict(
    roi_head=dict(reid_network=dict(attention=None), reid_head=dict(stripe_attention=True))
)
