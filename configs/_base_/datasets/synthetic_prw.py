# The set that tools/misc/make_synthetic_dataset.py renders, in PRW's layout.
_base_ = 'scenes.py'

dataset_type = 'PRWDataset'
data_root = 'data/synthetic_prw'
scale = (480, 270)

train_pipeline = [
    dict(type='LoadSceneImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackPersonSearchInputs'),
]
test_pipeline = [
    {**step, 'scale': scale} if step['type'] == 'Resize' else step for step in _base_.test_pipeline
]
# Loading takes a few per cent of a step: on two cores workers would only compete with the training.
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(type=dataset_type, data_root=data_root, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(type=dataset_type, data_root=data_root, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(cross_camera=True)
test_evaluator = val_evaluator
