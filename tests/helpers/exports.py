"""Tiny models to export, and images that tell their outputs apart."""

import numpy as np
import torch
from mmengine.config import Config

from mmps.testing.tiny_models import slim_model, two_step_model

PIPELINE = [
    dict(type='LoadSceneImage'),
    dict(type='Resize', scale=(160, 120), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackPersonSearchInputs'),
]


def exportable_config(**overrides):
    """A model of few parameters, and how its images are resized."""
    loader = dict(batch_size=1, dataset=dict(pipeline=PIPELINE))
    model = slim_model(**overrides)
    return Config(dict(model=model, test_dataloader=loader))


def two_step_config(**overrides):
    """The same for a ``TwoStepPersonSearch``, whose images are not resized before."""
    steps = [step for step in PIPELINE if step['type'] != 'Resize']
    loader = dict(batch_size=1, dataset=dict(pipeline=steps))
    return Config(dict(model=two_step_model(**overrides), test_dataloader=loader))


def decided(model):
    """Random weights whose scores are far apart, lest rounding changes who is found, and a warp
    that moves boxes by many pixels.
    """
    with torch.no_grad():
        for layer in (model.rpn_head.rpn_cls, model.roi_head.bbox_head.fc_cls):
            layer.weight.normal_(std=1.0)
        for layer in (model.rpn_head.rpn_reg, model.roi_head.bbox_head.fc_reg):
            layer.weight.normal_(std=0.1)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 1.5)
        if model.with_neck:
            theta = torch.tensor([3.0, 1.0, -3.0, -1.0, 3.0, -3.0])
            model.neck.transformer.localisation[-1].bias.copy_(theta)
    return model.eval()


def pictures(*sizes):
    """Images (h, w, 3) uint8 BGR of blocks, for noise looks the same everywhere."""
    rng = np.random.default_rng(0)
    blocks = (rng.integers(0, 256, (-(-h // 16), -(-w // 16), 3), np.uint8) for w, h in sizes)
    return [
        np.ascontiguousarray(np.kron(block, np.ones((16, 16, 1), np.uint8))[:h, :w])
        for block, (w, h) in zip(blocks, sizes, strict=True)
    ]


def decided_two_step(model):
    """The same of a ``TwoStepPersonSearch`` whose detector is an RTMDet."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 1.5)
        head = model.detector.bbox_head
        for layer in head.rtm_cls:
            layer.weight.normal_(std=3.0)
            layer.bias.fill_(-1.0)
        for layer in head.rtm_reg:
            layer.weight.normal_(std=0.3)
            layer.bias.fill_(1.0)
    return model.eval()
