default_scope = 'mmps'

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='CheckpointHook',
        interval=1,
        # With one alone, a kill between removing the old and writing the new would leave none.
        max_keep_ckpts=2,
        save_best='search/mAP',
        backend_args=dict(backend='AtomicLocalBackend'),
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    run_record=dict(type='RunRecordHook'),
    resume_check=dict(type='ResumeCheckHook'),
    divergence=dict(type='DivergenceHook'),
    data_time=dict(type='DataTimeHook'),
    oim_statistics=dict(type='OIMStatisticsHook'),
)
custom_hooks = [
    dict(type='SeedIterationHook'),
    dict(type='NumIdentitiesCheckHook'),
    dict(type='ResumedValidationHook'),
    dict(type='MeanStatisticsHook'),
    dict(type='MissingMetricHook'),
]

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
randomness = dict(seed=0)

visualizer = dict(
    type='DetLocalVisualizer',
    vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')],
    name='visualizer',
)
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=True)

log_level = 'INFO'
load_from = None
resume = False
