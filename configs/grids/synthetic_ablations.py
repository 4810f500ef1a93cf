# What each part of the method and each setting that the paper leaves open is worth on the quick
# start's rendered set, at a quarter of its schedule: docs/ablations.md.
base = 'base'
metrics = ['search/mAP', 'search/mAP_cross_camera', 'search/mAP_gt_boxes', 'det/AP']
prepare = [['misc/make_synthetic_dataset.py', '--out', 'data/synthetic_prw']]

# Three seeds where a claim is made; their spread stands for the rest.
_repeated = ['base', 'no-att', 'no-stn', 'separate-fine']
_once = [
    *['att-channel', 'att-both', 'roi-stn'],
    *['stripes1', 'embed64', 'embed512', 'no-norm', 'norm-aware'],
    *['regions12x4', 'fine', 'separate'],
    *['oim-weight01', 'oim-weight05', 'oim-weight1', 'no-warmup'],
    *['oim-scalar10', 'oim-scalar30', 'oim-momentum0', 'oim-momentum09'],
    *['oim-masked', 'oim-queue64', 'oim-queue2048'],
    *['reid-iou50', 'reid-iou80', 'no-repool', 'augment-colour', 'augment-paper'],
]
experiments = [
    *[dict(config=f'../ablations/synthetic/{what}.py', seeds=[0, 1, 2]) for what in _repeated],
    *[dict(config=f'../ablations/synthetic/{what}.py') for what in _once],
]
