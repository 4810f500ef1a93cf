import pytest
import torch
from mmcv.ops import RoIAlign, RoIPool
from torch import nn

from mmps.models.layers import RegionAlign, align_regions, extract
from mmps.models.roi_heads.fine_roi_extractor import FineRoIExtractor


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
