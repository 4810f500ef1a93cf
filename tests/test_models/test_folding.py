import pytest
import torch
from helpers.norms import randomise_norms

from mmps.models.backbones import DenseNet
from mmps.models.layers import ConvNormReLU, DenseBlock, Transition
from mmps.models.layers.folding import can_fold

MODULES = {
    'pooling transition': (lambda: Transition(12), (12, 9, 7)),
    'last transition': (lambda: Transition(12, pool=False), (12, 9, 7)),
    'convolution, norm, ReLU': (lambda: ConvNormReLU(3, 8, 3, stride=2, padding=1), (3, 9, 7)),
    'stem': (lambda: DenseNet((1, 1, 1), 4, 0.5, 8), (3, 64, 32)),
}


@pytest.mark.parametrize('name', MODULES)
@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_folded_equals_layer_after_layer(name, memory_format):
    build, shape = MODULES[name]
    module = randomise_norms(build())
    x = torch.randn(2, *shape).contiguous(memory_format=memory_format)
    with torch.no_grad():
        assert can_fold(x, module)
        fast = module(x)
    # In float64 nothing is folded.
    exact = module.double()(x.double())
    if isinstance(fast, tuple):
        (fast,), (exact,) = fast, exact
    torch.testing.assert_close(fast.double(), exact, atol=1e-5, rtol=1e-5)


def test_folds_only_what_needs_neither_gradients_nor_statistics():
    block, x = DenseBlock(4, 1, 2), torch.rand(1, 4, 3, 3)
    assert not can_fold(x, block.eval())
    with torch.no_grad():
        assert can_fold(x, block)
        assert not can_fold(x.double(), block)
        assert not can_fold(x, block.train())
        with torch.autocast('cpu'):
            assert not can_fold(x, block.eval())
    assert can_fold(x, block.requires_grad_(False))
    assert not can_fold(x.requires_grad_(), block)
