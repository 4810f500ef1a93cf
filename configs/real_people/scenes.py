# Street scenes of MOT17, PETS09 and PRW: docs/real_people.md.
_base_ = 'collage.py'

dataset = dict(data_root='data/scenes')
# Twice the quick start's: half of the people are shorter than 82 pixels at this size.
scale = (960, 540)
_resize = dict(type='Resize', scale=scale, keep_ratio=True)
_train = [_resize if step['type'] == 'Resize' else step for step in _base_.train_pipeline]
_test = [_resize if step['type'] == 'Resize' else step for step in _base_.test_pipeline]
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=_train, **dataset))
val_dataloader = dict(dataset=dict(pipeline=_test, **dataset))
test_dataloader = val_dataloader
# Annotators of the three drew their boxes more or less tightly.
val_evaluator = dict(iou_thr=0.5)
test_evaluator = val_evaluator

model = dict(roi_head=dict(reid_head=dict(num_ids=125)))
# Ten steps an epoch, from the weights that `load_from` names.
train_cfg = dict(max_epochs=12, val_interval=12)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True, eta_min=1e-5),
]
