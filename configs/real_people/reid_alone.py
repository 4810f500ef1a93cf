# Re-ID of real people on a detector that stays as it is (`model.detector_from`): what is compared
# has the same detections, and a step costs a quarter.
_base_ = 'collage.py'

model = dict(
    roi_head=dict(reid_jitter=dict(copies=1), reid_head=dict(loss_weight=1.0)),
)
train_cfg = dict(max_epochs=4, val_interval=4)
