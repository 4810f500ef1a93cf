_base_ = 'base.py'

# The paper's list, with the settings of configs/_base_/datasets/scenes.py.
augmentation = [
    dict(type='RandomApply', prob=0.3, transforms=[dict(type='RandomSceneAffine')]),
    dict(type='RandomApply', prob=0.3, transforms=[dict(type='RandomPerspective', max_shift=0.05)]),
    dict(type='RandomApply', prob=0.2, transforms=[dict(type='RandomGaussianBlur', max_sigma=2.0)]),
    dict(
        type='RandomApply', prob=0.2, transforms=[dict(type='RandomGaussianNoise', max_sigma=12.0)]
    ),
    dict(
        type='RandomApply',
        prob=0.3,
        transforms=[
            dict(
                type='CutOut',
                n_holes=(4, 12),
                cutout_ratio=[(0.02, 0.03), (0.03, 0.06), (0.05, 0.05)],
                fill_in=(104, 116, 124),
            )
        ],
    ),
]
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadSceneImage'),
            dict(type='LoadAnnotations', with_bbox=True),
            dict(type='Resize', scale=(480, 270), keep_ratio=True),
            *augmentation,
            dict(
                type='RandomApply',
                prob=0.5,
                transforms=[dict(type='PhotoMetricDistortion', hue_delta=9, swap_channels=False)],
            ),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackPersonSearchInputs'),
        ]
    )
)
