train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=8, val_interval=8)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

# The cosine ends with the training, however long: T_max is max_epochs unless it is given.
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True, eta_min=1e-5),
]
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=1e-4, fused=True),
    clip_grad=dict(max_norm=10, norm_type=2),
    # A warp that moves as fast as the rest learns would leave the features no time to follow.
    paramwise_cfg=dict(custom_keys=dict(neck=dict(lr_mult=0.1))),
)
auto_scale_lr = dict(enable=False, base_batch_size=4)
