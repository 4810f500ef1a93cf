"""State dicts as authors of published methods save them: names and shapes from how their networks
are built, numbers from the names; and what the converted networks, an eighth as wide, answer.

``PYTHONPATH=tests python -m helpers.published_weights`` records the answers anew. They were
recorded when the networks at full width gave the answers of their authors' programs.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from helpers.published_names import METHODS, model_name
from mmdet.models.backbones.resnet import Bottleneck
from mmdet.models.layers import ResLayer
from mmengine.config import Config
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmps.apis.network import Preprocessing
from mmps.published.conversion import Family, convert
from mmps.published.families import person_rows, recognise
from mmps.registry import MODELS
from mmps.testing.tiny_models import small_config
from mmps.utils.checkpoint import check_state_dict
from mmps.utils.config import load_config

ANSWERED = ('seqnet', 'nae', 'naeplus', 'oimnetpp', 'coat', 'gfn', 'oim')
"""Methods whose answers are recorded."""
SLIM = 8
"""How much narrower networks are whose answers are recorded."""
RECORDED = Path(__file__).parents[1] / 'test_published/recorded_answers.npz'
# So that heads tell regions apart, and find some of them to be people.
GAINS = {
    'predictor': 0.5,
    'rpn.head.bbox_pred': 0.3,
    'projectors': 0.67,
    'bbox_pred.1.weight': 0.15,
    # COAT: maxima of sums of overlapping patches.
    'box_head_1st.conv2': 0.12,
    'box_head_2nd.conv2': 0.12,
    'box_head_3rd.conv2': 0.12,
    # OIM: pixels of up to 150, and norms behind the sums of all blocks.
    'SpatialConvolution_0.': 0.02,
    'BN_': 0.75,
    'rpn_bbox_pred': 0.3,
}
SHIFTS = {
    ('seqnet', 'roi_heads.faster_rcnn_predictor.cls_score.bias'): [-5.5, 5.5],
    ('coat', 'roi_heads.box_predictor_1st.cls_score.bias'): [0.5, -0.5],
    ('nae', 'roi_heads.embedding_head.rescaler.running_mean'): 20.0,
    ('naeplus', 'roi_heads.embedding_head.rescaler.running_mean'): 13.4,
}


def blank(method: str, *sizes: int, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """A state dict of zeros, each tensor of which is one number in memory and in a file."""
    return {
        name: torch.zeros((), dtype=dtype if shape else torch.long).expand(shape)
        for name, shape in METHODS[method](*sizes)
    }


def drawn_tensor(name: str, shape: tuple[int, ...]) -> Tensor:
    """Numbers made from the name of a tensor."""
    if not shape:
        return torch.zeros((), dtype=torch.long)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    gain = float(np.prod([gain for part, gain in GAINS.items() if part in name]))
    if len(shape) > 1:
        scale = np.float32(gain * np.sqrt(2 / np.prod(shape[1:])))
        values = rng.standard_normal(shape, np.float32) * scale
    elif name.endswith('running_var'):
        values = rng.uniform(0.75, 1.25, shape)
    elif name.endswith('weight'):
        # Each block adds little to what goes past it.
        values = rng.uniform(0.75, 1.25, shape) * gain * (0.3 if '.bn3.' in name else 1)
    else:
        values = rng.standard_normal(shape) * 0.05
    return torch.from_numpy(np.asarray(values, np.float32))


@MODELS.register_module(force=True)
class SlimResLayer(BaseModule):
    """mmdet's ``ResLayer`` of ResNet-50's last stage, an eighth as wide."""

    def __init__(self) -> None:
        super().__init__()
        self.layer4 = ResLayer(Bottleneck, 1024 // SLIM, 512 // SLIM, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer4(x)


NARROW = {
    'DenseNet': dict(growth_rate=32 // SLIM, init_channels=64 // SLIM),
    'DenseNetIdentification': dict(in_channels=512 // SLIM, growth_rate=32 // SLIM),
    'ResNet': dict(base_channels=64 // SLIM),
    'PostSumResNet': dict(base_channels=64 // SLIM),
    'PostSumResNetIdentification': dict(base_channels=64 // SLIM),
    'ConvNeXt': dict(widths=(16, 32, 64), depths=(1, 1, 1)),
    'ConvNeXtIdentification': dict(in_channels=64, out_channels=128, depth=1),
    'SemanticSwin': dict(embed_dims=96 // SLIM, num_heads=(1, 2, 4), depths=(1, 1, 1)),
    'SemanticSwinIdentification': dict(in_channels=384 // SLIM, num_heads=8, depth=1),
    'OccludedAttention': dict(in_channels=128, out_channels=256, width=64),
    'RelationMixer': dict(in_channels=128, width=32),
    'SceneContext': dict(in_channels=128, width=32),
}
"""What makes parts an eighth as wide that have their widths by default, and less deep."""


def slim_network(part: Any) -> Any:
    """A part of the config of a published method, or of the paper on DenseNet-121 or ResNet-50, an
    eighth as wide.
    """
    if isinstance(part, Sequence) and not isinstance(part, str):
        return [slim_network(one) for one in part]
    if not isinstance(part, Mapping):
        return part
    if part.get('type') == 'ResLayer':
        return dict(type='SlimResLayer')
    found = {key: slim_network(value) for key, value in part.items()}
    for key in ('in_channels', 'out_channels', 'feat_channels', 'fine_channels', 'embed_dims'):
        if isinstance(part.get(key), int):
            found[key] = part[key] // SLIM
        elif key in part:
            found[key] = [width // SLIM for width in part[key]]
    return found | NARROW.get(part.get('type'), {})


def slim_config(method: str) -> Config:
    """The config of a method for PRW, an eighth as wide."""
    config = load_config(model_name(method), {})
    config.model = slim_network(config.model)
    config.model.pretrained = None
    config.model.roi_head.reid_head.num_ids = 482
    config.model.test_cfg.rpn.max_per_img = 100
    config.model.test_cfg.rcnn.max_per_img = 20
    for step in config.test_dataloader.dataset.pipeline:
        if step.type == 'ResizeToFit':
            step.scale = (150, 100)
    return config


def narrow_config(name: str, root: str | Path | None = None) -> Config:
    """A config of a published method in the tests' short form: narrow, few regions, tiny pictures.

    Args:
        name: Of the config.
        root: Folder of the data set.
    """
    config = small_config(load_config(name, {}))
    config.model = slim_network(config.model)
    for split in ('train', 'val', 'test'):
        loader = config[f'{split}_dataloader']
        loader.update(num_workers=0, persistent_workers=False)
        if root is not None:
            loader.dataset.data_root = str(root)
        for step in loader.dataset.pipeline:
            if 'scale' in step:
                step.scale = (160, 120)
    return config


def narrow_file(method: str, model: nn.Module) -> dict[str, Tensor]:
    """A state dict as authors of a method save it, with the widths and depth of a narrow model.

    Args:
        method: Of :data:`METHODS`.
        model: Of its :func:`narrow_config`.
    """
    wanted, rules = model.state_dict(), recognise(blank(method)).rules
    found, same = {}, {}
    for name, shape in METHODS[method]():
        rule = next(rule for rule in rules if re.match(rule.pattern, name))
        ours, theirs = (
            replaced and re.sub(rule.pattern, replaced, name, count=1)
            for replaced in (rule.name, rule.same_as)
        )
        if theirs:
            same[name] = theirs
        elif ours is None:
            found[name] = torch.zeros(shape)
        elif ours in wanted:
            sides = *wanted[ours].shape, *[1] * (len(shape) - wanted[ours].ndim)
            if shape and rule.change is person_rows:
                sides = 2 * sides[0], *sides[1:]
            found[name] = drawn_tensor(name, sides) + torch.tensor(SHIFTS.get((method, name), 0))
    for name, theirs in same.items():
        while theirs in same:
            theirs = same[theirs]
        if theirs in found:
            found[name] = found[theirs]
    return found


def in_their_order(config: Config) -> None:
    """Let a config compute in the order in which the published programs do: pixels are normalised
    before they are resized, and maps are contiguous.
    """
    pixels = config.model.data_preprocessor
    divisor = 1.0 if set(pixels.std) == {1.0} else 255.0
    channels = slice(None, None, -1 if pixels.get('bgr_to_rgb') else 1)
    for step in config.test_dataloader.dataset.pipeline:
        if step.type == 'ResizeToFit':
            step.normalize = dict(
                mean=[round(value / divisor, 6) for value in pixels.mean[channels]],
                std=[round(value / divisor, 6) for value in pixels.std[channels]],
                divisor=divisor,
                dtype='float64' if step.get('backend') == 'cv2' else 'float32',
            )
    pixels.update(mean=[0.0] * 3, std=[1.0] * 3)
    config.model.channels_last = False


def converted(config: Config, family: Family, weights: dict[str, Tensor]) -> nn.Module:
    """The model of a config with published weights, every one of which it takes."""
    model = MODELS.build(config.model)
    state = convert(weights, family, 'their.pth')
    check_state_dict(model, state, 'their.pth')
    # What a loss has beyond OIM's tables, such as a classifier, nobody published.
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all('.criterion.' in name for name in missing)
    return model.eval()


def picture() -> np.ndarray:
    """(123, 187, 3) uint8 BGR, whose resized height is 98.7: the same on every machine."""
    coarse = np.random.default_rng(0).integers(0, 256, (13, 19, 3), dtype=np.uint8)
    return cv2.resize(coarse, (187, 123), interpolation=cv2.INTER_NEAREST)


QUERIES = np.array([[20, 20, 70, 110], [100, 30, 187, 123]], np.float32)


@torch.no_grad()
def answers(config: Config, model: nn.Module) -> dict[str, np.ndarray]:
    """What a model finds in :func:`picture`, and its embeddings of :data:`QUERIES`."""
    batch = Preprocessing(config)([picture()], [QUERIES])
    (sample,) = model.test_step(batch)
    people = sample.pred_instances
    return {
        'boxes': people.bboxes.numpy(),
        'scores': people.scores.numpy(),
        'embeddings': people.embeddings.numpy(),
        'queries': sample.query_instances.embeddings.numpy(),
    }


if __name__ == '__main__':
    from mmengine.registry import init_default_scope

    init_default_scope('mmps')
    rows = {}
    for method in ANSWERED:
        config = slim_config(method)
        weights = narrow_file(method, MODELS.build(config.model))
        found = answers(config, converted(config, recognise(weights), weights))
        print(method, len(found['scores']), found['scores'][:5])
        # Directions, which half precision turns by 1e-7 at most.
        halves = dict.fromkeys(('embeddings', 'queries'), np.float16)
        for key, value in found.items():
            rows[f'{method}/{key}'] = value.astype(halves.get(key, np.float32))
    np.savez_compressed(RECORDED, **rows)
