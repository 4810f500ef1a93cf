import pytest
import torch

from mmps.models.roi_heads.region_network import SoftAttention


@pytest.mark.parametrize(
    ('mode', 'shape'),
    [('spatial', (3, 1, 5, 7)), ('channel', (3, 32, 1, 1)), ('both', (3, 32, 5, 7))],
)
def test_mask_is_between_0_and_1_and_multiplies(mode, shape):
    attention = SoftAttention(32, mode=mode)
    x = 50 * torch.randn(3, 32, 5, 7)
    mask = attention.mask(x)
    assert mask.shape == shape
    assert mask.min() >= 0 and mask.max() <= 1
    assert torch.equal(attention(x), x * mask)


@pytest.mark.parametrize('mode', ['spatial', 'channel', 'both'])
def test_mask_depends_on_the_region_and_learns(mode):
    attention = SoftAttention(16, mode=mode)
    mask = attention.mask(torch.randn(2, 16, 4, 4))
    assert not torch.allclose(mask[0], mask[1])
    mask.sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in attention.parameters())


def test_no_region():
    assert SoftAttention(16, mode='both')(torch.zeros(0, 16, 4, 4)).shape == (0, 16, 4, 4)


def test_unknown_mode():
    with pytest.raises(ValueError, match="mode='hard'"):
        SoftAttention(16, mode='hard')
