_base_ = '../ps_densenet121_att_prw.py'

# The field's usual threshold for a region that holds a person.
model = dict(
    train_cfg=dict(rcnn=dict(assigner=dict(pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5)))
)
