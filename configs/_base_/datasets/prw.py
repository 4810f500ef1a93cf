# PRW as its authors ship it.
_base_ = 'scenes.py'

dataset_type = 'PRWDataset'
data_root = 'data/PRW'

train_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
val_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
test_dataloader = val_dataloader
