"""The network on a GPU computes what it computes on a CPU: make test-cuda."""

import copy
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from helpers.exports import decided, exportable_config, pictures
from helpers.norms import randomise_norms
from helpers.slim_person_search import build
from mmcv.ops import RoIAlign
from mmengine.config import Config
from mmengine.runner import Runner

from mmps.apis.network import Preprocessing
from mmps.deployment.parity import compare
from mmps.engine.amp import set_amp
from mmps.models.backbones.densenet import DenseBlock
from mmps.models.layers.fast import RegionAlign
from mmps.models.losses import OIMLoss
from mmps.registry import MODELS
from mmps.testing.scenes import random_scenes
from mmps.testing.tiny_models import PLUS

pytestmark = pytest.mark.cuda
GPU = 'cuda:0'


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    """Convolutions in float32: PyTorch's default for them is TF32, with 10 bits."""
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)


class OnGPU(torch.nn.Module):
    """Results of a network on the GPU, brought back."""

    def __init__(self, model):
        super().__init__()
        self.model = copy.deepcopy(model).to(GPU)

    def test_step(self, inputs):
        return [sample.cpu() for sample in self.model.test_step(inputs)]


@pytest.mark.parametrize(
    ('overrides', 'how'),
    [
        ({}, False),
        ({}, True),
        ({}, 'graphs'),
        (PLUS, False),
        (PLUS, 'graphs'),
        (dict(model__roi_head__reid_head__norm_aware=True), False),
    ],
)
def test_finds_and_embeds_the_same_people(overrides, how):
    torch.manual_seed(0)
    config = exportable_config(**overrides)
    model = decided(MODELS.build(config.model))
    there = OnGPU(model)
    if how:
        compiled = MODELS.build({**config.model, 'compile_networks': how}).eval()
        compiled.load_state_dict(model.state_dict())
        there.model = compiled.to(GPU)
    images = pictures((160, 120), (200, 100), (120, 160), (160, 120), (320, 240))
    parity = compare(model, there, Preprocessing(config), images)
    parity.require(pixels=0.05, cosine=0.99999)
    assert parity.people > 20


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_regions_and_their_gradients_are_the_same(memory_format):
    corners = torch.rand(40, 2) * torch.tensor([600.0, 420.0]) - 60
    boxes = torch.cat([corners, corners + torch.rand(40, 2) * 200], 1)
    rois = torch.cat([torch.randint(2, (40, 1)).float(), boxes], 1)
    layer = RegionAlign(RoIAlign((5, 3), 1 / 16, sampling_ratio=2))
    x = torch.randn(2, 8, 20, 30).contiguous(memory_format=memory_format)
    weights = torch.randn(40, 8, 5, 3)
    results = []
    for device in ('cpu', GPU):
        y = x.to(device).detach().requires_grad_()
        found = layer(y, rois.to(device))
        (found * weights.to(device)).sum().backward()
        results.append((found.detach().cpu(), y.grad.cpu()))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)
    rois[:3, 1:] = torch.nan
    assert layer(x.to(GPU), rois.to(GPU)).shape == (40, 8, 5, 3)


def test_dense_blocks_and_their_gradients_are_the_same():
    """A CPU has a function of its own for them where norms are fixed."""
    block = randomise_norms(DenseBlock(6, 3, 4))
    x, weights = torch.randn(2, 6, 5, 7), torch.randn(2, 18, 5, 7)
    results = []
    for device in ('cpu', GPU):
        there = copy.deepcopy(block).to(device)
        out = there(x.to(device))
        (out * weights.to(device)).sum().backward()
        results.append([out.detach().cpu(), *(p.grad.cpu() for p in there.parameters())])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_tables_and_losses_of_oim_are_the_same():
    losses = [OIMLoss(num_ids=50, embed_dim=16, queue_size=40).to(d) for d in ('cpu', GPU)]
    for step in range(20):
        embeddings = F.normalize(torch.randn(17 + step, 16))
        ids = torch.randint(-1, 50, (17 + step,))
        ids[::3] = -1
        here = losses[0](embeddings, ids)
        there = losses[1](embeddings.to(GPU), ids.to(GPU))
        torch.testing.assert_close(here, there.cpu())
    here, there = (loss.state_dict() for loss in losses)
    for name, value in here.items():
        torch.testing.assert_close(value, there[name].cpu())


@pytest.mark.parametrize('amp', [None, 'float16', 'bfloat16'])
@pytest.mark.parametrize('overrides', [{}, PLUS])
def test_trains_in_every_precision(amp, overrides):
    torch.manual_seed(0)
    model = build(**overrides).to(GPU).train()
    config = Config(dict(optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01))))
    if amp:
        set_amp(config, amp)
    optimiser = Runner.build_optim_wrapper(SimpleNamespace(model=model), config.optim_wrapper)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    batch = random_scenes([[0, 1, -1], [2]])
    for _ in range(5):
        losses = model.train_step(copy.deepcopy(batch), optimiser)
        assert all(torch.isfinite(value).all() for value in losses.values())
    for parameter in model.parameters():
        assert torch.isfinite(parameter).all() and parameter.dtype == torch.float32
    for name in ('rpn_head.rpn_cls', 'roi_head.bbox_head.fc_cls', 'roi_head.reid_head.project'):
        assert not torch.equal(model.get_parameter(f'{name}.weight'), before[f'{name}.weight'])
    lut = model.roi_head.reid_head.criterion.lut
    assert lut.dtype == torch.float32
    lengths = lut.norm(dim=1)
    torch.testing.assert_close(lengths[lengths > 0].cpu(), torch.ones(int((lengths > 0).sum())))
