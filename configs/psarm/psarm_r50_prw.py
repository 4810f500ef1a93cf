_base_ = [
    '../_base_/models/psarm_r50.py',
    '../_base_/datasets/prw.py',
    '../_base_/datasets/as_published.py',
    '../_base_/schedules/sgd_20e.py',
    '../_base_/default_runtime.py',
]

model = dict(roi_head=dict(reid_head=dict(num_ids=483, loss=dict(queue_size=500))))

resize = dict(_base_.resize, scale_dtype='float32')
train, test = _base_.as_published.train, _base_.as_published.test
train_dataloader = dict(batch_size=3, dataset=dict(pipeline=[*train[:2], resize, *train[3:]]))
val_dataloader = dict(dataset=dict(pipeline=[test[0], resize, *test[2:]]))
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=12)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(type='MultiStepLR', by_epoch=True, milestones=[8], gamma=0.1),
]

val_evaluator = dict(confidence_weighting=True)
# The numbers beside the published weights are with context matching.
test_evaluator = dict(confidence_weighting=True, context_matching=dict(k1=30, k2=4))
