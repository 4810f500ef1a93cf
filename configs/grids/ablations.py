# What each part of the method is worth, on PRW. Three seeds: one run says little about a point.
seeds = [0, 1, 2]
base = 'ps_densenet121_att_prw'
_ablations = [
    'no-att',
    'att-channel',
    'att-both',
    'att_no-stn',
    'att_roi-stn',
    'att_roi16x8',
    'att_embed256',
    'att_iou50',
]
experiments = [
    dict(config=f'../{base}.py'),
    *[dict(config=f'../ablations/ps_densenet121_{what}_prw.py') for what in _ablations],
]
