# Street scenes of MOT17, PETS09 and PRW, to test on: docs/real_people.md.
_base_ = 'collage.py'

dataset = dict(data_root='data/scenes')
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader
# Annotators of the three drew their boxes more or less tightly.
val_evaluator = dict(iou_thr=0.5)
test_evaluator = val_evaluator
model = dict(roi_head=dict(reid_head=dict(num_ids=125)))
