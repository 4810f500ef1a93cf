import pytest
import torch
from helpers.norms import randomise_norms
from mmcv.ops import RoIAlign, RoIPool
from torch import nn

from mmps.models.backbones import DenseNet
from mmps.models.backbones.densenet import DenseBlock, Transition
from mmps.models.backbones.googlenet import ConvNormReLU
from mmps.models.layers.fast import RegionAlign, align_regions, can_fold, extract
from mmps.models.roi_heads.region_network import FineRoIExtractor


def concatenating(block, x):
    """The definition: every layer sees the concatenation of everything before it."""
    for layer in block.values():
        x = torch.cat([x, layer(x)], 1)
    return x


def gradients(block, function, x, weights):
    x = x.clone().requires_grad_()
    block.zero_grad()
    out = function(x)
    (out * weights).sum().backward()
    return {'out': out.detach(), 'x': x.grad, **{n: p.grad for n, p in block.named_parameters()}}


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_function_has_the_values_and_gradients_of_the_definition(memory_format):
    block = randomise_norms(DenseBlock(6, 3, 4))
    block.denselayer1.norm1.bias.data[0] = 1
    x = torch.randn(2, 6, 5, 7).contiguous(memory_format=memory_format)
    weights = torch.randn(2, 18, 5, 7)
    found = gradients(block, block, x, weights)
    expected = gradients(block, lambda x: concatenating(block, x), x, weights)
    assert found.keys() == expected.keys() and len(found) == 2 + 3 * 6
    for name, value in expected.items():
        scale = float(value.abs().max())
        torch.testing.assert_close(found[name], value, atol=1e-5 * scale, rtol=0)
    # A scale of 0 has a gradient too, or it would never train.
    assert found['denselayer1.norm1.weight'][0] != 0


def test_statistics_of_the_batch_are_used_in_training_mode():
    block = DenseBlock(6, 2, 4).train()
    x = torch.randn(2, 6, 5, 7)
    out = block(x)
    assert block.denselayer1.norm1.num_batches_tracked == 1
    torch.testing.assert_close(out, concatenating(block, x))


def test_keeps_little_for_the_backward_pass():
    """The map, and the input of each 3 x 3 convolution: not what grows with the square."""
    block = DenseBlock(8, 12, 2).eval()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        block(torch.randn(4, 8, 16, 16))
    sizes = {t.data_ptr(): t.numel() for t in kept if t.dim() == 4 and t.shape[1:3] != (1, 1)}
    weights = sum(p.numel() for p in block.parameters())
    activations = 4 * 16 * 16 * ((8 + 12 * 2) + 12 * 8)
    assert activations <= sum(sizes.values()) <= activations + weights


def test_memory_format_of_the_map():
    with torch.no_grad():
        out = nn.Sequential(DenseBlock(4, 1, 2)).eval()(torch.rand(1, 4, 3, 3))
    assert out.is_contiguous(memory_format=torch.channels_last)


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


def regions(count=40):
    """RoIs on two images of 480 x 320: inside, across the border, outside, without area."""
    corners = torch.rand(count, 2) * torch.tensor([600.0, 420.0]) - 60
    sides = torch.rand(count, 2) * 200
    sides[:3] = 0
    return torch.cat([torch.randint(2, (count, 1)).float(), corners, corners + sides], 1)


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_equals_mmcv_with_gradients(aligned, memory_format):
    layer = RoIAlign((5, 3), 1 / 16, sampling_ratio=2, aligned=aligned)
    rois = regions()
    x = torch.randn(2, 8, 20, 30, requires_grad=True)
    expected = layer(x, rois)
    weights = torch.randn_like(expected)
    (expected * weights).sum().backward()
    y = x.detach().contiguous(memory_format=memory_format).requires_grad_()
    found = RegionAlign(layer)(y, rois)
    (found * weights).sum().backward()
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)
    torch.testing.assert_close(y.grad, x.grad, atol=1e-4, rtol=0)
    assert RegionAlign(layer)(y, rois[:0]).shape == (0, 8, 5, 3)


def test_leaves_other_layers_to_mmcv():
    x = torch.randn(2, 8, 20, 30).contiguous(memory_format=torch.channels_last)
    rois = regions()
    for layer in (
        RoIAlign(4, 1 / 16, sampling_ratio=0),
        RoIAlign(4, 1 / 16, sampling_ratio=2, pool_mode='max'),
    ):
        torch.testing.assert_close(RegionAlign(layer)(x, rois), layer(x.contiguous(), rois))
    assert not RegionAlign(RoIPool(4, 1 / 16)).as_rows


def test_every_layer_of_an_extractor_and_maps_of_16_bits():
    layer = dict(type='RoIAlign', output_size=4, sampling_ratio=1)
    extractor = align_regions(FineRoIExtractor(layer, out_channels=8, fine_channels=4))
    assert sum(isinstance(m, RegionAlign) for m in extractor.modules()) == 2
    nn.init.ones_(extractor.lateral.weight)
    maps = torch.randn(2, 8, 20, 30).bfloat16(), torch.randn(2, 4, 40, 60).bfloat16()
    rois = regions()
    found = extract(extractor, maps, rois)
    assert found.dtype == torch.bfloat16
    exact = extractor([m.float() for m in maps], rois)
    torch.testing.assert_close(found.float(), exact, atol=0.05, rtol=0.01)


@pytest.mark.parametrize('form', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('as_rows', [True, False])
def test_regions_have_the_memory_format_of_the_maps(form, as_rows):
    layer = dict(type='RoIAlign', output_size=4, sampling_ratio=1)
    extractor = align_regions(FineRoIExtractor(layer, out_channels=8, fine_channels=4))
    for part in extractor.modules():
        if isinstance(part, RegionAlign):
            part.as_rows = as_rows
    maps = torch.randn(2, 8, 20, 30), torch.randn(2, 4, 40, 60)
    maps = tuple(feats.contiguous(memory_format=form) for feats in maps)
    assert extract(extractor, maps, regions()).is_contiguous(memory_format=form)


def test_a_box_that_is_not_a_number_holds_nothing():
    """A training that diverges has to reach the hook that says so."""
    layer = RegionAlign(RoIAlign(4, spatial_scale=0.25, sampling_ratio=2))
    rois = torch.tensor([[0.0, float('nan'), 2, 30, 40], [0, float('-inf'), 2, float('inf'), 40]])
    assert torch.equal(layer(torch.ones(1, 3, 12, 16), rois), torch.zeros(2, 3, 4, 4))
