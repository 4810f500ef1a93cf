# Rendered people again, from the weights that `load_from` names, with what a camera does to a
# picture: blur, noise and colour of the paper's list.
_base_ = '../quick_start/ps_densenet_slim_att_plus_synthetic.py'

_camera = [
    step
    for step in _base_.augmentation
    if step['transforms'][0]['type']
    in ('RandomGaussianBlur', 'RandomGaussianNoise', 'PhotoMetricDistortion')
]
train_pipeline = [*_base_.train_pipeline[:3], *_camera, *_base_.train_pipeline[3:]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
train_cfg = dict(max_epochs=2, val_interval=2)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
