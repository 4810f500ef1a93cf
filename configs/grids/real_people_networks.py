# The paper's six networks on real people, from random weights, with the settings of synthetic.py:
# docs/real_people.md. Nobody has run it to its end yet.
_base_ = 'synthetic.py'

prepare = []
_data = dict(type='CocoPersonSearchDataset', data_root='data/collage')
_resize = dict(type='Resize', scale=(480, 270), keep_ratio=True)
_loaded = [dict(type='LoadSceneImage'), dict(type='LoadAnnotations', with_bbox=True), _resize]
_packed = dict(type='PackPersonSearchInputs')
_train = [*_loaded, dict(type='RandomFlip', prob=0.5), _packed]
_test = [_loaded[0], _resize, _loaded[1], _packed]

options = dict(
    model=dict(roi_head=dict(reid_head=dict(num_ids=1443))),
    train_dataloader=dict(dataset=dict(pipeline=_train, **_data)),
    test_dataloader=dict(dataset=dict(pipeline=_test, **_data)),
    train_cfg=dict(max_epochs=8),
    param_scheduler=[
        dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=100),
        dict(
            type='CosineAnnealingLR',
            by_epoch=True,
            convert_to_iter_based=True,
            T_max=8,
            eta_min=1e-5,
        ),
    ],
)
experiments = [{**experiment, 'column': 'collage'} for experiment in _base_.experiments]
