# The quick start's network on people cut from CUHK01 and CUHK03 and pasted on photographs, with the
# quick start's recipe: docs/real_people.md.
_base_ = '../quick_start/ps_densenet_slim_att_plus_synthetic.py'

dataset = dict(type='CocoPersonSearchDataset', data_root='data/collage')
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader
model = dict(roi_head=dict(reid_head=dict(num_ids=1443)))
# About as many images seen as of rendered people.
train_cfg = dict(max_epochs=5, val_interval=5)
