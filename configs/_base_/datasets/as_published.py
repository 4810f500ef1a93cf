# Pictures as the authors of published methods resize them, with torchvision. No augmentation but
# flips.
resize = dict(type='ResizeToFit', scale=(1500, 900))
as_published = dict(
    train=[
        dict(type='LoadSceneImage'),
        dict(type='LoadAnnotations', with_bbox=True),
        resize,
        dict(type='RandomFlip', prob=0.5),
        dict(type='PackPersonSearchInputs'),
    ],
    test=[
        dict(type='LoadSceneImage'),
        resize,
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='PackPersonSearchInputs'),
    ],
)
