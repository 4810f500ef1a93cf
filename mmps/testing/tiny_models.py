from copy import deepcopy
from pathlib import Path

from mmengine.config import Config

from mmps.formats.from_config import automatic_num_ids
from mmps.utils.config import PROJECT

CONFIGS = PROJECT / 'configs'


def small_config(path: str | Path | Config, **overrides) -> Config:
    """A config of ``configs/`` with few regions and no pretrained weights: seconds on a CPU.

    Args:
        path: Below ``configs/``, e.g. ``ps_densenet121_att_prw.py``; or the config itself.
        overrides: Dotted keys and values, as for ``--cfg-options`` (dots written as ``__``).
    """
    cfg = deepcopy(path) if isinstance(path, Config) else Config.fromfile(CONFIGS / path)
    cfg.merge_from_dict(
        {
            'model.pretrained': None,
            # Scenes of tests are smaller than the paper's anchors.
            'model.train_cfg.rpn.allowed_border': -1,
            'model.train_cfg.rpn_proposal.max_per_img': 50,
            'model.train_cfg.rcnn.sampler.num': 8,
            'model.test_cfg.rpn.max_per_img': 8,
            'model.test_cfg.rcnn.score_thr': 0.0,
            'model.test_cfg.rcnn.max_per_img': 5,
            # The first step is to change something.
            'optim_wrapper.accumulative_counts': 1,
            **{key.replace('__', '.'): value for key, value in overrides.items()},
        }
    )
    for part in automatic_num_ids(cfg.model):
        part.num_ids = 5
    return cfg


def tiny_config(
    path: str | Path, root: str | Path, size: tuple[int, int] = (160, 120), **overrides
) -> Config:
    """A config of ``configs/`` with the slim model, for a tiny data set.

    Args:
        path: Below ``configs/``.
        root: Folder of the data set, whose layout has to be that of the config.
        size: Width and height that images are resized to fit.
        overrides: As for :func:`small_config`.
    """
    cfg = small_config(path, **overrides)
    cfg.model = slim_model()
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.data_root = str(root)
        for step in loader.dataset.pipeline:
            if step.type == 'Resize':
                step.scale = size
    return cfg


def slim_model(**overrides) -> dict:
    """The model of ``ps_densenet121_att_prw.py`` with a DenseNet of a few thousand parameters."""
    return small_config(
        'ps_densenet121_att_prw.py',
        **{
            'model__backbone': dict(
                type='DenseNet',
                growth_rate=4,
                block_layers=(1, 1, 1),
                init_channels=8,
                _delete_=True,
            ),
            'model__roi_head__shared_head': dict(
                type='DenseNetIdentification',
                in_channels=4,
                num_layers=2,
                growth_rate=4,
                _delete_=True,
            ),
            'model__neck__in_channels': 4,
            'model__rpn_head__in_channels': 4,
            'model__rpn_head__feat_channels': 8,
            'model__rpn_head__anchor_generator__scales': [1, 2, 4],
            'model__roi_head__bbox_roi_extractor__out_channels': 4,
            'model__roi_head__bbox_roi_extractor__roi_layer__output_size': 4,
            'model__roi_head__bbox_head__in_channels': 12,
            'model__roi_head__bbox_head__roi_feat_size': 4,
            'model__roi_head__reid_head__embed_dim': 16,
            'model__roi_head__reid_head__num_ids': 5,
            **overrides,
        },
    ).model


def slim_sequential(path: str | Path, **overrides) -> dict:
    """The model of a config with a ``SequentialRoIHead``, with a stem and region networks of a few
    thousand parameters; its stages and heads stay as they are. Arguments as of
    :func:`small_config`.
    """
    model = small_config(path, **overrides).model
    like = slim_model()
    model.backbone = like.backbone
    model.rpn_head.update(in_channels=4, feat_channels=8)
    model.rpn_head.anchor_generator.scales = [1, 2, 4]
    head = model.roi_head
    head.bbox_roi_extractor.update(out_channels=4)
    head.bbox_roi_extractor.roi_layer.output_size = 4
    for stage in head.stages:
        stage.shared_head.network = like.roi_head.shared_head
        stage.bbox_head.in_channels = 12
        if stage.bbox_head.get('with_avg_pool'):
            stage.bbox_head.roi_feat_size = 4
    maps = len(head.reid_head.in_channels)
    head.reid_head.update(num_ids=5, in_channels=(4, 12)[-maps:], embed_dims=(16 // maps,) * maps)
    return model


PLUS = dict(
    model__backbone__fine_block=2,
    model__roi_head__reid_network=dict(
        roi_extractor=dict(
            type='FineRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=(6, 3), sampling_ratio=1),
            out_channels=4,
            fine_channels=10,
        ),
        attention=dict(type='SoftAttention'),
        network=dict(type='DenseNetIdentification', num_layers=1, growth_rate=4),
    ),
    model__roi_head__reid_head__stripes=4,
)
"""Makes :func:`slim_model` what the plus configs are: re-ID by a network of its own."""


def two_step_model(**overrides) -> dict:
    """A ``TwoStepPersonSearch`` of an RTMDet and a DenseNet of a few thousand parameters.

    ``overrides`` are keys of the model.
    """
    cfg = Config.fromfile(CONFIGS / 'two_step/two-step_rtmdet-tiny_resnet50_prw.py')
    head = dict(num_classes=2, in_channels=16, feat_channels=16, stacked_convs=1)
    cfg.merge_from_dict(
        {
            'model.detector.backbone.widen_factor': 0.125,
            'model.detector.neck.in_channels': [32, 64, 128],
            'model.detector.neck.out_channels': 16,
            'model.detector.bbox_head': head,
            'model.detector.test_cfg': dict(nms_pre=1000, max_per_img=600),
        }
    )
    reid = dict(
        type='ReIDNetwork',
        backbone=dict(type='DenseNet', growth_rate=4, block_layers=(1, 1, 1), init_channels=8),
        head=dict(type='ReIDHead', in_channels=4, num_ids=5, embed_dim=16, stripes=2),
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    )
    return dict(
        type='TwoStepPersonSearch',
        detector=cfg.model.detector,
        detector_pipeline=[
            dict(type='Resize', scale=(160, 96), keep_ratio=True),
            dict(type='Pad', size=(160, 160), pad_val=dict(img=(114, 114, 114))),
        ],
        reid=reid,
        **dict(crop_size=(64, 32)) | overrides,
    )
