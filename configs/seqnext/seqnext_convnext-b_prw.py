_base_ = [
    '../_base_/models/seqnext_convnext-b.py',
    '../_base_/datasets/prw.py',
    '../_base_/datasets/as_published.py',
    '../_base_/schedules/adam_30e.py',
    '../_base_/default_runtime.py',
]

model = dict(roi_head=dict(reid_head=dict(num_ids=483, loss=dict(queue_size=500))))

resize = dict(_base_.resize, rounding='even', backend='cv2')
train, test = _base_.as_published.train, _base_.as_published.test
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=[*train[:2], resize, *train[3:]]))
val_dataloader = dict(dataset=dict(pipeline=[test[0], resize, *test[2:]]))
test_dataloader = val_dataloader

val_evaluator = dict(confidence_weighting=True)
test_evaluator = val_evaluator
