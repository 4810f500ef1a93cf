"""A method's own program beside the converted network, under the same weights on one picture.

The program is run from a checkout, unchanged and in a process of its own; it needs torchvision::

    PYTHONPATH=tests python -m helpers.originals seqnet SEQNET --packages FOLDER

FOLDER holds what the program imports and this environment lacks: torchvision for this PyTorch,
yacs. Nothing of the programs is kept.
"""

from __future__ import annotations

import argparse
import ast
import pickle
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmps.benchmark import original as programs
from mmps.benchmark.original import Original, TorchvisionNetwork, untrained_resnet
from mmps.cli.common import run_tool

BARS = {
    'boxes, px': 0.05,
    'scores': 2e-4,
    '1 - cosine of embeddings': 1e-5,
    '1 - cosine of queries': 1e-5,
    '1 - cosine of the scene': 1e-5,
}
"""How far answers may be apart."""
FIRST = 10
"""Proposals that are compared, best first."""


class AnsweringNetwork(TorchvisionNetwork):
    """A network that is asked for weights and answers.

    Args:
        model: As of `TorchvisionNetwork`.
        embed: The function for the embeddings of given boxes; None: the network itself.
    """

    def __init__(self, model: nn.Module, embed: Callable | None = None):
        super().__init__(model)
        self._embed = embed or model

    def shapes(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape of each array in the state dict, and the first name of its memory."""
        first: dict[int, str] = {}
        return {
            name: (tuple(value.shape), first.setdefault(value.data_ptr(), name))
            for name, value in self.model.state_dict().items()
        }

    def load(self, path: str) -> None:
        """Take the weights of a file that :meth:`save` or somebody else wrote."""
        self.model.load_state_dict(torch.load(path, weights_only=True)['model'])

    @torch.no_grad()
    def answer(self, picture: np.ndarray, queries: np.ndarray) -> dict[str, np.ndarray]:
        """What the network finds, in pixels of the picture ``(h, w, 3)``, RGB uint8, its embeddings
        of the boxes ``queries (q, 4)``, its map and its first proposals.
        """
        seen: dict[str, Any] = {}
        hooks = [
            getattr(self.model, part).register_forward_hook(
                lambda *given, part=part: seen.setdefault(part, given[2])
            )
            for part in ('backbone', 'rpn')
        ]
        found = self.find(picture)
        for hook in hooks:
            hook.remove()
        found['queries'] = self.embed(picture, torch.from_numpy(queries))
        found['proposals'] = seen['rpn'][0][0][:FIRST]
        found['map'] = next(iter(seen['backbone'].values()))[0]
        return {name: value.numpy() for name, value in found.items()}

    def find(self, picture: np.ndarray) -> dict[str, Tensor]:
        """``boxes (n, 4)``, ``scores`` and ``embeddings`` of the people in a picture."""
        (people,) = self.model(self.inputs(picture))
        return {name: people[name] for name in ('boxes', 'scores', 'embeddings')}

    def embed(self, picture: np.ndarray, boxes: Tensor) -> Tensor:
        """Embeddings of boxes ``(q, 4)`` in a picture."""
        return torch.cat(list(self._embed(self.inputs(picture), [{'boxes': boxes}])))


def seqnet(checkout: str) -> AnsweringNetwork:
    """github.com/serend1p1ty/SeqNet."""
    return AnsweringNetwork(programs.seqnet(checkout).model)


def configured(checkout: str) -> Any:
    """The program's config for PRW."""
    from defaults import get_default_cfg

    config = get_default_cfg()
    config.merge_from_file(f'{checkout}/configs/prw.yaml')
    return config


def nae(checkout: str, cells: bool = False) -> AnsweringNetwork:
    """github.com/DeanChan/NAE4PS, which is written in Python 2; NAE+ with ``cells``."""
    untrained_resnet()
    sys.modules['cPickle'] = pickle
    import lib.model.faster_rcnn_norm_aware as whole
    import lib.model.faster_rcnn_pixel_wise_norm_aware as per_cell

    from configs import args_faster_rcnn_norm_aware

    whole.map = lambda *given: list(map(*given))
    whole.NormAwareEmbeddingProj._split_embedding_dim = lambda self: [128, 128]
    words = args_faster_rcnn_norm_aware().parse_args(['--embedding_feat_fuse'])
    options = argparse.Namespace(train=argparse.Namespace(), test=argparse.Namespace())
    for key, value in vars(words).items():
        place, _, name = key.rpartition('.')
        setattr(getattr(options, place) if place else options, name, value)
    options.num_pids, options.num_cq_size = 482, 500
    build = per_cell.get_pixel_wise_norm_aware_model if cells else whole.get_norm_aware_model
    model = build(options, training=False, pretrained_backbone=False)
    return AnsweringNetwork(model, model.ex_feat)


def coat(checkout: str) -> AnsweringNetwork:
    """github.com/Kitware/COAT."""
    untrained_resnet()
    from models.coat import COAT

    return AnsweringNetwork(COAT(configured(checkout)))


def glcnet(checkout: str) -> AnsweringNetwork:
    """github.com/ZhengPeng7/GLCNet, at commit bfc5d80, which is that of its published files."""
    untrained_resnet()
    from models.seqnet import SeqNet

    return AnsweringNetwork(SeqNet(configured(checkout)))


class SceneNetwork(AnsweringNetwork):
    """SeqNeXt with a gallery filter network, which takes pictures that others have resized."""

    def inputs(self, picture: np.ndarray) -> list[Tensor]:
        """A picture ``(h, w, 3)`` as albumentations resizes it."""
        import cv2

        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        pixels = ((picture / 255.0 - np.array(mean)) / np.array(std)).astype(np.float32)
        return [torch.from_numpy(cv2.resize(pixels, self._size(picture))).permute(2, 0, 1)]

    @torch.no_grad()
    def settle(self, picture: np.ndarray) -> None:
        """As of others; and no proposal is so sure that its score is 1: torchvision orders such
        ones by their logits, mmdet in any order.
        """
        super().settle(picture)
        layer, seen = self.model.rpn.head.cls_logits, []
        hook = layer.register_forward_hook(lambda *given: seen.append(given[2].max()))
        self.model.rpn.head(list(self.model.backbone(self.inputs(picture)[0][None]).values()))
        hook.remove()
        for weights in layer.parameters():
            weights /= max(float(seen[0]) / 10, 1)

    def find(self, picture: np.ndarray) -> dict[str, Tensor]:
        """People in pixels of the picture as it is given, and the embedding of the scene."""
        (found,) = self.model(self.inputs(picture), inference_mode='det')
        people = dict(boxes=found['det_boxes'] / self._scale(picture), scores=found['det_scores'])
        return people | dict(embeddings=found['det_emb'], scene=found['scene_emb'][0])

    def embed(self, picture: np.ndarray, boxes: Tensor) -> Tensor:
        """Embeddings of boxes ``(q, 4)`` in pixels of the picture as it is given."""
        targets = [{'boxes': boxes * self._scale(picture)}]
        (found,) = self.model(self.inputs(picture), targets, inference_mode='gt')
        return found['gt_emb']

    @staticmethod
    def _size(picture: np.ndarray) -> tuple[int, int]:
        """Width and height of the input."""
        height, width = picture.shape[:2]
        factor = min(900 / min(height, width), 1500 / max(height, width))
        return round(width * factor), round(height * factor)

    def _scale(self, picture: np.ndarray) -> Tensor:
        """Pixels of the input per pixel of the picture, for boxes xyxy."""
        (width, height), (down, across) = self._size(picture), picture.shape[:2]
        return torch.tensor([width / across, height / down] * 2)


def base_class(name: str) -> type:
    """What a module that is not there has of any name: something to derive a class from."""
    if name.startswith('__'):
        raise AttributeError(name)
    return object


def gfn(checkout: str, model: str, architecture: str) -> SceneNetwork:
    """github.com/LukeJaffe/GFN, which calls itself ``osr`` and imports losses from elsewhere."""
    import src
    import yaml

    losses = ('distances', 'utils', 'losses', 'losses.generic_pair_loss', 'reducers')
    for name in ('', *(f'.{one}' for one in (*losses, 'reducers.base_reducer'))):
        module = ModuleType(f'pytorch_metric_learning{name}')
        module.__getattr__ = base_class
        sys.modules[module.__name__] = module
    sys.modules['osr'] = src
    from osr.models.seqnext import SeqNeXt

    config = yaml.safe_load(Path(checkout, 'configs/default.yaml').read_text())
    for key in config['tuple_key_list']:
        config[key] = ast.literal_eval(config[key])
    config |= dict(model=model, backbone_arch=architecture, pretrained=False)
    config |= dict(gfn_query_mode='batch', oim_cq_size=500)
    return SceneNetwork(SeqNeXt(config, oim_lut_size=483))


def psarm(checkout: str) -> AnsweringNetwork:
    """github.com/mustansarfiaz/PS-ARM."""
    untrained_resnet()
    import torchvision.models.resnet as resnet

    resnet.model_urls = {}
    from models.arm_net import ARMNet

    return AnsweringNetwork(ARMNet(configured(checkout)))


def solider(checkout: str) -> AnsweringNetwork:
    """github.com/tinyvision/SOLIDER-PersonSearch."""
    untrained_resnet()
    runner, utils = ModuleType('mmcv.runner'), ModuleType('torchvision.models.utils')
    runner.load_checkpoint = utils.load_state_dict_from_url = None
    sys.modules |= {'mmcv': ModuleType('mmcv'), 'mmcv.runner': runner, utils.__name__: utils}
    torch.Tensor.cuda = lambda self, *given: self
    from models.seqnet import SeqNet

    config = configured(checkout)
    config.MODEL.BONE, config.MODEL.SEMANTIC_WEIGHT = 'swin_tiny', 0.6
    return AnsweringNetwork(SeqNet(config))


SCORES = 'roi_heads.faster_rcnn_predictor.cls_score'
SHARES = (0.3, 0.6)
"""Of the boxes that come to a stage, how many are to be people."""
SCENE_SCORES = (SCORES, 'roi_heads.score_predictor.cls_score')
PROGRAMS: dict[str, tuple[Callable[[str], Any], str, tuple[str, ...]]] = {
    'seqnet': (seqnet, 'seqnet_r50_prw', (SCORES,)),
    'nae': (nae, 'nae_r50_prw', ()),
    'naeplus': (partial(nae, cells=True), 'naeplus_r50_prw', ()),
    'coat': (coat, 'coat_r50_prw', ('roi_heads.box_predictor_1st.cls_score',)),
    'psarm': (psarm, 'psarm_r50_prw', (SCORES,)),
    'glcnet': (glcnet, 'glcnet_r50_prw', (SCORES,)),
    'solider': (solider, 'solider_swin-t_prw', (SCORES,)),
    'gfn-r50': (partial(gfn, model='resnet', architecture='resnet50'), 'gfn_r50_prw', SCENE_SCORES),
    'gfn-convnext': (
        partial(gfn, model='convnext', architecture='convnext_base'),
        'gfn_convnext-b_prw',
        SCENE_SCORES,
    ),
}
"""By method: what builds the program's network, our config, and what decides who is a person.
GFN's network holds that of SeqNeXt."""


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
def our_answer(name: str, path: str, same_order: bool = False) -> dict[str, np.ndarray]:
    """What the converted network says, its map and its proposals as well; computed in the order of
    the program, if that is wanted.
    """
    from helpers.published_weights import converted, in_their_order
    from mmengine.registry import init_default_scope

    from mmps.apis.network import Preprocessing
    from mmps.models.layers.fast import plain_layers
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
    if same_order:
        in_their_order(config)
    with plain_layers() if same_order else nullcontext():
        model: nn.Module = converted(config, family, weights)
        batch = Preprocessing(config)([picture()[..., ::-1].copy()], [QUERIES])
        data = model.data_preprocessor(batch)
        x = model.extract_feat(data['inputs'])
        (proposals,) = model.rpn_head.predict(x[:1], data['data_samples'], rescale=False)
        (sample,) = model.predict(data['inputs'], data['data_samples'])
    people = sample.pred_instances
    found = dict(boxes=people.bboxes, scores=people.scores, embeddings=people.embeddings)
    found |= {'queries': sample.query_instances.embeddings, 'proposals': proposals.bboxes[:FIRST]}
    found['map'] = x[0][0]
    if 'scene_embedding' in sample:
        found['scene'] = sample.scene_embedding
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
        rows = [np.atleast_2d(one[name].astype(np.float64)) for one in (theirs, ours)]
        lengths = [np.linalg.norm(one, axis=1) for one in rows]
        cosines = (rows[0] * rows[1]).sum(1) / (lengths[0] * lengths[1])
        return float((1 - cosines).max(initial=0))

    scene = {'1 - cosine of the scene': turned('scene')} if 'scene' in theirs else {}
    return scene | {
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
        for part, share in zip(scores, SHARES, strict=False):
            original.ask('let_through', image, part, share)
        original.ask('save', path)
        theirs = original.ask('answer', image, QUERIES)
        orders = our_answer(name, path), our_answer(name, path, same_order=True)
    print(f'{words.method}: {len(theirs["boxes"])} people there, {len(orders[0]["boxes"])} here')
    print(f'scores from {theirs["scores"].min():.3f} to {theirs["scores"].max():.3f}')
    print(f'{"":<26} {"":>8}  computed in their order')
    found = [differences(theirs, ours) for ours in orders]
    for what in found[0]:
        bar = f'  (bar {BARS[what]:g})' if what in BARS else ''
        print(f'{what:<26} {found[0][what]:8.2g}  {found[1][what]:8.2g}{bar}')
    sys.exit(any(one[what] > bar for one in found for what, bar in BARS.items() if what in one))


if __name__ == '__main__':
    run_tool(main)
