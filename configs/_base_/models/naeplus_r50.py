# NAE+ of the same paper: every cell of a region is embedded, and the attended mean of all cells is
# the embedding.
_base_ = 'nae_r50.py'

model = dict(
    roi_head=dict(
        stages=[
            dict(
                shared_head=dict(_base_.region_network, pool=None),
                bbox_head=dict(_base_.norm_aware_box_head, with_avg_pool=True, roi_feat_size=7),
            )
        ],
        reid_head=dict(per_cell=True),
    ),
    # The best of an image has score 1, even where nobody is.
    test_cfg=dict(rcnn=dict(relative_scores=True)),
)
