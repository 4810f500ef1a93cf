# Spatial transformer, attention, OIM, and what paid in docs/ablations.md: a network for re-ID
# alone, which also sees the stem's map at stride 8, and more of OIM's gradient in what remains
# shared. On a slim DenseNet and small scenes it learns to search on two CPU cores in minutes, from
# random weights, on the set that tools/misc/make_synthetic_dataset.py renders.
_base_ = [
    '../_base_/models/ps_densenet_slim.py',
    '../_base_/datasets/synthetic_prw.py',
    '../_base_/schedules/adamw_8e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(fine_block=2),
    roi_head=dict(
        attention=dict(type='SoftAttention'),
        reid_network=dict(
            roi_extractor=dict(
                type='FineRoIExtractor',
                roi_layer=dict(type='RoIAlign', output_size=(12, 6), sampling_ratio=1),
                out_channels=116,
                fine_channels=88,
            ),
            attention=dict(type='SoftAttention'),
            network=dict(type='DenseNetIdentification', num_layers=3, growth_rate=48),
        ),
        # A step has few labelled people, and detectors never draw a box twice in the same place.
        reid_jitter=dict(copies=3),
        reid_head=dict(num_ids=300, stripes=6, loss_weight=0.5, loss_warmup=100),
    ),
    # Half of the regions are improbable, and finding nobody in them costs a seventh of the time:
    # docs/benchmarks.md.
    test_cfg=dict(rpn=dict(score_thr=0.7)),
)
# Half the steps with twice the people learn re-ID faster: docs/ablations.md.
train_dataloader = dict(batch_size=8)
optim_wrapper = dict(optimizer=dict(lr=3e-3))
auto_scale_lr = dict(base_batch_size=8)
