_base_ = [
    '../_base_/models/oim_r50-2017.py',
    '../_base_/datasets/cuhk_sysu.py',
    '../_base_/datasets/as_published.py',
    '../_base_/schedules/sgd_50e.py',
    '../_base_/default_runtime.py',
]

model = dict(roi_head=dict(reid_head=dict(num_ids=5532, loss=dict(queue_size=5000))))

resize = dict(_base_.resize, scale=(1000, 600), backend='cv2', sample_by='scale')
train, test = _base_.as_published.train, _base_.as_published.test
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=[*train[:2], resize, *train[3:]]))
val_dataloader = dict(dataset=dict(pipeline=[test[0], resize, *test[2:]]))
test_dataloader = val_dataloader

val_evaluator = dict(score_thr=0.05)
test_evaluator = val_evaluator

# 50,000 updates, each from two images that are seen one after the other.
train_cfg = dict(max_epochs=9, val_interval=1)
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, milestones=[7], gamma=0.1)]
optim_wrapper = dict(
    accumulative_counts=2,
    paramwise_cfg=dict(bias_lr_mult=2.0, bias_decay_mult=0.0, norm_decay_mult=0.0),
)
auto_scale_lr = dict(base_batch_size=1)
