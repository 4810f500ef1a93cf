_base_ = 'reid_alone.py'

model = dict(roi_head=dict(reid_network=dict(attention=None)))
