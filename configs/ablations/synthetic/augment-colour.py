_base_ = 'base.py'

train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(
        type='RandomApply',
        prob=0.5,
        transforms=[dict(type='PhotoMetricDistortion', hue_delta=9, swap_channels=False)],
    ),
    _base_.train_pipeline[-1],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
