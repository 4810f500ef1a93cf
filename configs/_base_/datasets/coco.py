# Own cameras: annotations in COCO style with person ids (docs/own_data.md).
_base_ = 'scenes.py'

dataset_type = 'CocoPersonSearchDataset'
data_root = 'data/my_cameras'

train_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
val_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
test_dataloader = val_dataloader
