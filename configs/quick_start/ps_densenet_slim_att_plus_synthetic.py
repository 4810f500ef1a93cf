# Spatial transformer, attention, OIM, and a re-ID network that sees detail, on a slim DenseNet and
# small scenes: learns to search on two CPU cores in minutes, from random weights, on the set that
# tools/misc/make_synthetic_dataset.py renders.
_base_ = [
    '../_base_/models/ps_densenet_slim_plus.py',
    '../_base_/datasets/synthetic_prw.py',
    '../_base_/schedules/adamw_8e.py',
    '../_base_/default_runtime.py',
]

model = dict(roi_head=dict(reid_head=dict(num_ids=300)))
# Half the steps with twice the people learn re-ID faster: docs/ablations.md.
train_dataloader = dict(batch_size=8)
optim_wrapper = dict(optimizer=dict(lr=3e-3))
auto_scale_lr = dict(base_batch_size=8)
