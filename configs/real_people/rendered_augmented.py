# Rendered people with the blur, noise and colours of the paper's augmentation:
# docs/real_people.md.
_base_ = '../quick_start/ps_densenet_slim_att_plus_synthetic.py'

_names = ('RandomGaussianBlur', 'RandomGaussianNoise', 'PhotoMetricDistortion')
_changes = [step for step in _base_.augmentation if step['transforms'][0]['type'] in _names]
_steps = _base_.train_pipeline
train_dataloader = dict(dataset=dict(pipeline=[*_steps[:-2], *_changes, *_steps[-2:]]))
