# The paper's method on own cameras. Copy this file, or change settings on the command line.
_base_ = [
    '../_base_/models/ps_densenet121.py',
    '../_base_/datasets/coco.py',
    '../_base_/schedules/sgd_50e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    roi_head=dict(
        attention=dict(type='SoftAttention'),
        reid_head=dict(num_ids='auto'),  # those of the training set
    )
)
