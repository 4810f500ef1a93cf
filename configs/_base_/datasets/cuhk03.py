# CUHK03 as its authors ship it: labelled crops, the new protocol (767 and 700 identities).
_base_ = 'scenes.py'

dataset_type = 'CUHK03Dataset'
data_root = 'data/cuhk03'
# A crop is one standing person. Enlarged to 1500 x 900, one twice as high as wide has an IoU of
# 0.23 with its best anchor, and the proposal network nothing to learn from; at 384 x 192 it is
# 0.89, and the person is no smaller than the paper's patches of 256 x 128.
scale = (384, 192)

train_pipeline = [
    {**step, 'scale': scale} if step['type'] == 'Resize' else step for step in _base_.train_pipeline
]
test_pipeline = [
    {**step, 'scale': scale} if step['type'] == 'Resize' else step for step in _base_.test_pipeline
]

# Eight crops hold about as many people as two scenes.
train_dataloader = dict(
    batch_size=8, dataset=dict(type=dataset_type, data_root=data_root, pipeline=train_pipeline)
)
val_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(gallery_sizes=('new',))
test_evaluator = val_evaluator
