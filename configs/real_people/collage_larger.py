# One more epoch, from the weights that `load_from` names, with pictures a quarter larger.
_base_ = 'collage_from_rendered.py'

_resize = dict(type='Resize', scale=(600, 338), keep_ratio=True)
_train = [_resize if step['type'] == 'Resize' else step for step in _base_.train_pipeline]
_test = [_resize if step['type'] == 'Resize' else step for step in _base_.test_pipeline]
train_dataloader = dict(dataset=dict(pipeline=_train))
val_dataloader = dict(dataset=dict(pipeline=_test))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=1, val_interval=1)
optim_wrapper = dict(optimizer=dict(lr=1.5e-3))
