_base_ = 'base.py'

model = dict(neck=None)
