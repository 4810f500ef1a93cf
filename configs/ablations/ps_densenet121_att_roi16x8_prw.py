_base_ = '../ps_densenet121_att_prw.py'

# The paper's 256 x 128 patches at stride 16.
model = dict(
    roi_head=dict(
        bbox_roi_extractor=dict(roi_layer=dict(output_size=(16, 8))),
        bbox_head=dict(roi_feat_size=(16, 8)),
    )
)
