# A quarter of the schedule; the other files of this folder change one thing of it.
_base_ = '../../quick_start/ps_densenet_slim_att_synthetic.py'

train_cfg = dict(max_epochs=2, val_interval=2)
