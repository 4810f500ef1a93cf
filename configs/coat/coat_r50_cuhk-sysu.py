_base_ = [
    '../_base_/models/coat_r50.py',
    '../_base_/datasets/cuhk_sysu.py',
    '../_base_/datasets/as_published.py',
    '../_base_/schedules/sgd_20e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    roi_head=dict(reid_head=dict(num_ids=5532, loss=dict(queue_size=5000, classifier_weight=0.2)))
)

train_dataloader = dict(batch_size=4, dataset=dict(pipeline=_base_.as_published.train))
val_dataloader = dict(dataset=dict(pipeline=_base_.as_published.test))
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=14)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(type='MultiStepLR', by_epoch=True, milestones=[11], gamma=0.1),
]

val_evaluator = dict(confidence_weighting=True)
test_evaluator = val_evaluator
