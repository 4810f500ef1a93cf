_base_ = [
    '_base_/models/ps_densenet121_plus.py',
    '_base_/datasets/cuhk03.py',
    '_base_/schedules/sgd_50e.py',
    '_base_/default_runtime.py',
]

model = dict(
    roi_head=dict(reid_head=dict(num_ids=767)),
    # Hardly an anchor lies within a crop.
    train_cfg=dict(rpn=dict(allowed_border=-1)),
)
auto_scale_lr = dict(base_batch_size=8)
