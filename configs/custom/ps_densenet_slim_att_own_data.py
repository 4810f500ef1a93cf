# The quick start's model on own cameras: learns on a CPU, from random weights. Images are scaled to
# 480 x 270; people should be 50 to 190 pixels tall then.
_base_ = '../quick_start/ps_densenet_slim_att_plus_synthetic.py'

dataset = dict(type='CocoPersonSearchDataset', data_root='data/my_cameras')
# A few hundred images are few steps already.
train_dataloader = dict(batch_size=4, dataset=dataset)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
auto_scale_lr = dict(base_batch_size=4)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader
# Not every own camera is known by number; turn this on where they are.
val_evaluator = dict(cross_camera=False)
test_evaluator = val_evaluator

model = dict(roi_head=dict(reid_head=dict(num_ids='auto')))  # those of the training set

# A few hundred images; fewer epochs do for thousands.
train_cfg = dict(max_epochs=40, val_interval=10)
