"""A method's own program beside the converted network, under the same weights on one picture.

The program is run from a checkout, unchanged and in a process of its own; it needs torchvision::

    PYTHONPATH=tests python -m helpers.originals seqnet SEQNET --packages FOLDER

FOLDER holds what the program imports and this environment lacks: torchvision for this PyTorch,
yacs. Nothing of the programs is kept.
"""

from __future__ import annotations

import argparse
import pickle
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmps.benchmark.peer import FIRST, Original, TorchvisionNetwork, seqnet, untrained_resnet
from mmps.cli.common import run_tool

BARS = {
    'boxes, px': 0.05,
    'scores': 2e-4,
    '1 - cosine of embeddings': 1e-5,
    '1 - cosine of queries': 1e-5,
}
"""How far answers may be apart."""


def configured(checkout: str) -> Any:
    """The program's config for PRW."""
    from defaults import get_default_cfg

    config = get_default_cfg()
    config.merge_from_file(f'{checkout}/configs/prw.yaml')
    return config


def nae(checkout: str) -> TorchvisionNetwork:
    """github.com/DeanChan/NAE4PS, which is written in Python 2."""
    untrained_resnet()
    sys.modules['cPickle'] = pickle
    import lib.model.faster_rcnn_norm_aware as module

    from configs import args_faster_rcnn_norm_aware

    module.map = lambda *given: list(map(*given))
    module.NormAwareEmbeddingProj._split_embedding_dim = lambda self: [128, 128]
    words = args_faster_rcnn_norm_aware().parse_args([])
    options = argparse.Namespace(train=argparse.Namespace(), test=argparse.Namespace())
    for key, value in vars(words).items():
        place, _, name = key.rpartition('.')
        setattr(getattr(options, place) if place else options, name, value)
    options.num_pids, options.num_cq_size = 482, 500
    model = module.get_norm_aware_model(options, training=False, pretrained_backbone=False)
    return TorchvisionNetwork(model, model.ex_feat)


def psarm(checkout: str) -> TorchvisionNetwork:
    """github.com/mustansarfiaz/PS-ARM."""
    untrained_resnet()
    import torchvision.models.resnet as resnet

    resnet.model_urls = {}
    from models.arm_net import ARMNet

    return TorchvisionNetwork(ARMNet(configured(checkout)))


def solider(checkout: str) -> TorchvisionNetwork:
    """github.com/tinyvision/SOLIDER-PersonSearch."""
    untrained_resnet()
    runner, utils = ModuleType('mmcv.runner'), ModuleType('torchvision.models.utils')
    runner.load_checkpoint = utils.load_state_dict_from_url = None
    sys.modules |= {'mmcv': ModuleType('mmcv'), 'mmcv.runner': runner, utils.__name__: utils}
    torch.Tensor.cuda = lambda self, *given: self
    from models.seqnet import SeqNet

    config = configured(checkout)
    config.MODEL.BONE, config.MODEL.SEMANTIC_WEIGHT = 'swin_tiny', 0.6
    return TorchvisionNetwork(SeqNet(config))


SCORES = 'roi_heads.faster_rcnn_predictor.cls_score'
PROGRAMS: dict[str, tuple[Callable[[str], Any], str, str | None]] = {
    'seqnet': (seqnet, 'seqnet_r50_prw', SCORES),
    'nae': (nae, 'nae_r50_prw', None),
    'psarm': (psarm, 'psarm_r50_prw', SCORES),
    'solider': (solider, 'solider_swin-t_prw', SCORES),
}
"""By method: what builds the program's network, our config, and what decides who is a person."""


def picture(height: int = 1080, width: int = 1920) -> np.ndarray:
    """Smooth colours and upright rectangles of two parts, RGB uint8."""
    import cv2

    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (height // 60, width // 60, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(40):
        h = int(rng.integers(height // 10, height * 2 // 3))
        top, left = int(rng.integers(0, height - h)), int(rng.integers(0, width - h // 2))
        for start, end in ((0, h // 2), (h // 2, h)):
            part = image[top + start : top + end, left : left + h * 2 // 5]
            part[:] = part // 4 + rng.integers(0, 192, 3, dtype=np.uint8)
    return image


QUERIES = np.array([[300, 200, 560, 900], [1000, 500, 1090, 720], [1700, 380, 1920, 1080]], 'f4')


def drawn(shapes: dict[str, tuple[tuple[int, ...], str]]) -> dict[str, Tensor]:
    """Weights whose numbers come from the names; those that share memory stay the same."""
    from helpers.published_weights import drawn_tensor

    return {name: drawn_tensor(first, shape) for name, (shape, first) in shapes.items()}


@torch.no_grad()
def our_answer(name: str, path: str) -> dict[str, np.ndarray]:
    """What the converted network says, its map and its proposals as well."""
    from helpers.published_weights import converted
    from mmengine.registry import init_default_scope

    from mmps.apis.preprocessing import Preprocessing
    from mmps.published.conversion import published_weights
    from mmps.published.families import recognise
    from mmps.utils.checkpoint import read_checkpoint
    from mmps.utils.config import load_config

    init_default_scope('mmps')
    config = load_config(name, {})
    config.model.pretrained = None
    weights = published_weights(read_checkpoint(path))
    family = recognise(weights)
    head = config.model.roi_head
    for stage in (head, *head.get('stages', ())):
        if 'reid_head' in stage:
            stage.reid_head.num_ids = len(weights[family.lut_key])
    model: nn.Module = converted(config, family, weights)
    batch = Preprocessing(config)([picture()[..., ::-1].copy()], [QUERIES])
    data = model.data_preprocessor(batch)
    x = model.extract_feat(data['inputs'])
    (proposals,) = model.rpn_head.predict(x, data['data_samples'], rescale=False)
    (sample,) = model.predict(data['inputs'], data['data_samples'])
    people = sample.pred_instances
    found = dict(boxes=people.bboxes, scores=people.scores, embeddings=people.embeddings)
    found |= {'queries': sample.query_instances.embeddings, 'proposals': proposals.bboxes[:FIRST]}
    found['map'] = x[0][0]
    return {key: value.numpy() for key, value in found.items()}


def differences(theirs: dict[str, np.ndarray], ours: dict[str, np.ndarray]) -> dict[str, float]:
    """How far two answers are apart; infinity where rows do not correspond."""

    def most(name: str) -> float:
        if theirs[name].shape != ours[name].shape:
            return float('inf')
        return float(np.abs(theirs[name] - ours[name]).max(initial=0))

    def turned(name: str) -> float:
        if len(theirs[name]) != len(ours[name]):
            return float('inf')
        rows = [one[name].astype(np.float64) for one in (theirs, ours)]
        lengths = [np.linalg.norm(one, axis=1) for one in rows]
        cosines = (rows[0] * rows[1]).sum(1) / (lengths[0] * lengths[1])
        return float((1 - cosines).max(initial=0))

    return {
        'boxes, px': most('boxes'),
        'scores': most('scores'),
        '1 - cosine of embeddings': turned('embeddings'),
        '1 - cosine of queries': turned('queries'),
        'map': most('map'),
        'first proposals, px': most('proposals'),
    }


def main(argv: list[str] | None = None) -> None:
    """Print how far the two are apart; exit status 1: too far."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').partition('\n')[0])
    parser.add_argument('method', choices=PROGRAMS)
    parser.add_argument('checkout', help='folder of its program')
    parser.add_argument('--packages', help='folder of torchvision, yacs and the like')
    words = parser.parse_args(argv)
    build, name, scores = PROGRAMS[words.method]
    image = picture()
    with (
        tempfile.TemporaryDirectory() as folder,
        Original(build, words.checkout, words.packages) as original,
    ):
        path = str(Path(folder, 'theirs.pth'))
        torch.save({'model': drawn(original.ask('shapes'))}, path)
        original.ask('load', path)
        original.ask('settle', image)
        if scores:
            original.ask('let_through', image, scores, 0.3)
        original.ask('save', path)
        theirs = original.ask('answer', image, QUERIES)
        original.close()
        ours = our_answer(name, path)
    found = differences(theirs, ours)
    print(f'{words.method}: {len(theirs["boxes"])} people there, {len(ours["boxes"])} here')
    print(f'scores from {theirs["scores"].min():.3f} to {theirs["scores"].max():.3f}')
    for what, value in found.items():
        print(f'{what:<26} {value:.2g}' + (f'  (bar {BARS[what]:g})' if what in BARS else ''))
    sys.exit(any(value > BARS.get(what, np.inf) for what, value in found.items()))


if __name__ == '__main__':
    run_tool(main)
