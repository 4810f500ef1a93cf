# The twenty classic splits of CUHK03, each with a training of its own: docs/evaluation.md.
_parts = 'train', 'val', 'test'
_galleries = ('classic', 'classic_any_view', 'classic_all')
_classic = {
    'model.roi_head.reid_head.num_ids': 'auto',
    **{f'{part}_dataloader.dataset.protocol': 'classic' for part in _parts},
    **{f'{part}_evaluator.gallery_sizes': _galleries for part in _parts[1:]},
}

experiments = [
    dict(
        name=f'split{split}',
        config='../ps_resnet50_cuhk03.py',
        options={
            **_classic,
            **{f'{part}_dataloader.dataset.classic_split': split for part in _parts},
        },
    )
    for split in range(20)
]
