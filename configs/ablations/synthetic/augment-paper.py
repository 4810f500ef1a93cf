_base_ = 'base.py'

loading, packing = _base_.train_pipeline[:3], _base_.train_pipeline[3:]
train_pipeline = [*loading, *_base_.augmentation, *packing]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
