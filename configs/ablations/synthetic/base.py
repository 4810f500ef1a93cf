# The paper's method on the slim DenseNet, a quarter of the quick start's schedule: what the other
# files of this folder change one thing of.
_base_ = [
    '../../_base_/models/ps_densenet_slim.py',
    '../../_base_/datasets/synthetic_prw.py',
    '../../_base_/schedules/adamw_8e.py',
    '../../_base_/default_runtime.py',
]

model = dict(roi_head=dict(attention=dict(type='SoftAttention'), reid_head=dict(num_ids=300)))
train_cfg = dict(max_epochs=2, val_interval=2)
