# The quick start's network on real people: docs/real_people.md. Run it from the folder that holds
# work_dirs; some runs start from the checkpoints of others, which come first.
metrics = [
    'search/mAP',
    'search/top1',
    'search/mAP_cross_camera',
    'search/mAP_gt_boxes',
    'det/AP',
]
base = 'reid_alone_no-att'
prepare = [['misc/make_synthetic_dataset.py', '--out', 'data/synthetic_prw']]

_folder = 'work_dirs/grids/real_people'
_rendered = f'{_folder}/rendered_seed0/train/epoch_8.pth'
_collage = {'model.detector_from': f'{_folder}/collage_seed0/train/epoch_5.pth'}
_seeds = [0, 1, 2]

experiments = [
    dict(name='rendered', config='../quick_start/ps_densenet_slim_att_plus_synthetic.py'),
    dict(config='../real_people/collage.py', seeds=_seeds),
    dict(
        config='../real_people/collage_from_rendered.py',
        options=dict(load_from=_rendered),
        seeds=_seeds,
    ),
    dict(
        config='../real_people/collage_larger.py',
        options=dict(load_from=f'{_folder}/collage_from_rendered_seed{{seed}}/train/epoch_5.pth'),
        seeds=_seeds,
    ),
    # The same detections for all: what differs is re-ID.
    *[
        dict(config=f'../real_people/{what}.py', options=_collage, seeds=_seeds)
        for what in ('reid_alone_no-att', 'reid_alone', 'reid_alone_stripe-att')
    ],
]
