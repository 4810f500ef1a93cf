_base_ = [
    '_base_/models/ps_densenet121_plus.py',
    '_base_/datasets/cuhk_sysu.py',
    '_base_/schedules/sgd_50e.py',
    '_base_/default_runtime.py',
]

model = dict(roi_head=dict(reid_head=dict(num_ids=5532)))
