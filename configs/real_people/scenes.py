# Street scenes of MOT17, PETS09 and PRW, to test on: docs/real_people.md.
_base_ = 'collage.py'

dataset = dict(data_root='data/scenes')
# Most people are 75 to 180 pixels tall at this size, as those that the network learns from; at
# 480 x 270 four of five are shorter than 50.
_resize = dict(type='Resize', scale=(1280, 720), keep_ratio=True)
_test = [_resize if step['type'] == 'Resize' else step for step in _base_.test_pipeline]
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dict(pipeline=_test, **dataset))
test_dataloader = val_dataloader
# Annotators of the three drew their boxes more or less tightly.
val_evaluator = dict(iou_thr=0.5)
test_evaluator = val_evaluator
model = dict(roi_head=dict(reid_head=dict(num_ids=125)))
