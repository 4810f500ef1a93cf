import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from mmps.models.backbones import (
    DenseNet,
    DenseNetIdentification,
    GoogLeNet,
    GoogLeNetIdentification,
)

STEMS = [(DenseNet, 512, 4), (GoogLeNet, 832, 3)]


@pytest.mark.parametrize(('stem', 'channels', 'stages'), STEMS)
def test_map_at_a_sixteenth(stem, channels, stages):
    model = stem().eval()
    with torch.no_grad():
        (out,) = model(torch.randn(1, 3, 96, 64))
    assert out.shape == (1, channels, 6, 4)
    assert model.out_channels == channels


@pytest.mark.parametrize(('width', 'channels'), [(0.25, (208, 256)), (0.1, (84, 102))])
def test_narrow_googlenet(width, channels):
    """A quarter has a quarter of each map's channels; counts that do not divide are rounded."""
    stem = GoogLeNet(width).eval()
    head = GoogLeNetIdentification(stem.out_channels, width).eval()
    (out,) = stem(torch.randn(1, 3, 96, 64))
    assert (out.shape[1], head(out).shape[1]) == channels
    assert (stem.out_channels, head.out_channels) == channels
    assert list(stem.state_dict()) == list(GoogLeNet().state_dict())


@pytest.mark.parametrize(('block', 'channels', 'stride'), [(1, 12, 4), (2, 10, 8), (3, 9, 16)])
def test_finer_map_of_a_block(block, channels, stride):
    options = dict(growth_rate=4, block_layers=(1, 1, 1), init_channels=8)
    plain, model = DenseNet(**options).eval(), DenseNet(**options, fine_block=block).eval()
    model.load_state_dict(plain.state_dict())
    x = torch.randn(1, 3, 96, 64)
    coarse, fine = model(x)
    assert torch.equal(coarse, plain(x)[0])
    assert fine.shape == (1, channels, 96 // stride, 64 // stride)
    assert model.fine_channels == channels


def test_finer_map_of_a_block_that_is_not_there():
    with pytest.raises(ValueError, match='fine_block=4'):
        DenseNet(fine_block=4)


@pytest.mark.parametrize(
    ('head', 'channels'), [(DenseNetIdentification, 512), (GoogLeNetIdentification, 832)]
)
def test_identification_network(head, channels):
    model = head().eval()
    with torch.no_grad():
        out = model(torch.randn(2, channels, 3, 4))
    assert out.shape == (2, 1024, 3, 4)
    assert out.min() >= 0
    assert model(torch.zeros(0, channels, 3, 4)).shape == (0, 1024, 3, 4)


@pytest.mark.parametrize(('stem', 'channels', 'stages'), STEMS)
def test_frozen_stages_do_not_learn(stem, channels, stages):
    model = stem(frozen_stages=2).train()
    modules = model.stages()
    assert len(modules) == stages
    frozen = [p for stage in modules[:2] for m in stage for p in m.parameters()]
    free = [p for stage in modules[2:] for m in stage for p in m.parameters()]
    assert frozen and not any(p.requires_grad for p in frozen)
    assert free and all(p.requires_grad for p in free)
    assert sum(p.numel() for p in frozen + free) == sum(p.numel() for p in model.parameters())
    norms = [[m for m in part.modules() if isinstance(m, _BatchNorm)] for part in modules[0]]
    assert not any(norm.training for part in norms for norm in part)
    assert any(m.training for m in modules[2][0].modules() if isinstance(m, _BatchNorm))


def test_norm_eval_survives_train():
    model = DenseNet(growth_rate=4, block_layers=(1, 1, 1), init_channels=8, norm_eval=True)
    model.train()
    assert not any(m.training for m in model.modules() if isinstance(m, _BatchNorm))
    assert all(p.requires_grad for p in model.parameters())


def test_too_many_frozen_stages():
    with pytest.raises(ValueError, match='frozen_stages=5'):
        DenseNet(growth_rate=4, block_layers=(1, 1, 1), init_channels=8, frozen_stages=5)


def test_densenet121_has_the_published_number_of_parameters():
    """DenseNet-121 has 7,978,856 parameters, 1,025,000 of them in the classifier."""
    parts = [DenseNet(), DenseNetIdentification()]
    assert sum(p.numel() for part in parts for p in part.parameters()) == 7978856 - 1025000


def test_googlenet_has_the_published_number_of_parameters():
    """GoogLeNet as published by torchvision: 6,624,904 without the auxiliary heads, 1,025,000 in
    fc.
    """
    parts = [GoogLeNet(), GoogLeNetIdentification()]
    assert sum(p.numel() for part in parts for p in part.parameters()) == 6624904 - 1025000
