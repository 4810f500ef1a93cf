# What every data set of scenes has in common; a child names the files. The augmentation is the
# paper's list; each step takes part in some of the images only, so that most images are changed a
# little and few beyond recognition.
scale = (1500, 900)

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
    # Contrast, hue and saturation. Last among the pixel steps because it leaves float values; the
    # channels stay in place, for the colour of clothes is what tells people apart.
    dict(
        type='RandomApply',
        prob=0.5,
        transforms=[dict(type='PhotoMetricDistortion', hue_delta=9, swap_channels=False)],
    ),
]
train_pipeline = [
    dict(type='LoadSceneImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomApply', prob=0.3, transforms=[dict(type='RandomCropPad', max_ratio=0.1)]),
    dict(type='Resize', scale=scale, keep_ratio=True),
    *augmentation,
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackPersonSearchInputs'),
]
# Annotations come after Resize: boxes and queries stay in original pixels, which the protocol uses.
test_pipeline = [
    dict(type='LoadSceneImage'),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackPersonSearchInputs'),
]

train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='SeededSampler', shuffle=True),
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='PersonSearchMetric')
test_evaluator = val_evaluator
