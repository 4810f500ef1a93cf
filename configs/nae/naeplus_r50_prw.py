_base_ = [
    '../_base_/models/naeplus_r50.py',
    '../_base_/datasets/prw.py',
    '../_base_/datasets/as_published.py',
    '../_base_/schedules/sgd_20e.py',
    '../_base_/default_runtime.py',
]

model = dict(roi_head=dict(reid_head=dict(num_ids=483, loss=dict(queue_size=500))))

train_dataloader = dict(batch_size=5, dataset=dict(pipeline=_base_.as_published.train))
val_dataloader = dict(dataset=dict(pipeline=_base_.as_published.test))
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=11)
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, milestones=[8], gamma=0.1)]
optim_wrapper = dict(paramwise_cfg=dict(bias_decay_mult=0.0))

val_evaluator = dict(confidence_weighting=True)
test_evaluator = val_evaluator
