# Real people after rendered ones. `load_from` takes what fits: the table of identities starts anew.
_base_ = 'collage.py'

# Detection stands already, and bears OIM at full weight.
model = dict(roi_head=dict(reid_jitter=dict(copies=2), reid_head=dict(loss_weight=1.0)))
train_cfg = dict(max_epochs=5, val_interval=5)
