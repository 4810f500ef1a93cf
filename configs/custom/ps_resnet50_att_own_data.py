# The paper's method on own cameras, with ResNet-50.
_base_ = [
    '../_base_/models/ps_resnet50.py',
    '../_base_/datasets/coco.py',
    '../_base_/schedules/sgd_50e.py',
    '../_base_/default_runtime.py',
]

model = dict(roi_head=dict(attention=dict(type='SoftAttention'), reid_head=dict(num_ids='auto')))
