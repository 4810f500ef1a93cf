_base_ = [
    '../_base_/models/solider_swin-t.py',
    '../_base_/datasets/cuhk_sysu.py',
    '../_base_/datasets/as_published.py',
    '../_base_/schedules/sgd_20e.py',
    '../_base_/default_runtime.py',
]

model = dict(roi_head=dict(reid_head=dict(num_ids=5532, loss=dict(queue_size=5000))))

train_dataloader = dict(batch_size=4, dataset=dict(pipeline=_base_.as_published.train))
val_dataloader = dict(dataset=dict(pipeline=_base_.as_published.test))
test_dataloader = val_dataloader

optim_wrapper = dict(optimizer=dict(lr=3e-4))

val_evaluator = dict(confidence_weighting=True)
# The numbers beside the published weights are with context matching.
test_evaluator = dict(confidence_weighting=True, context_matching=dict(k1=10, k2=3))
