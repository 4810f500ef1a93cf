# CUHK-SYSU as its authors ship it, evaluated on galleries of 100 images and on both subsets. There
# are files for 50, 500, 1000, 2000 and 4000, too; docs/data_preparation.md says how to name them.
_base_ = 'scenes.py'

dataset_type = 'CUHKSYSUDataset'
data_root = 'data/CUHK-SYSU'
gallery_sizes = (100,)
subsets = ('occlusion', 'resolution')

train_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
val_dataloader = dict(
    dataset=dict(
        type=dataset_type, data_root=data_root, gallery_sizes=gallery_sizes, subsets=subsets
    )
)
test_dataloader = val_dataloader

val_evaluator = dict(gallery_sizes=(*gallery_sizes, *subsets))
test_evaluator = val_evaluator
