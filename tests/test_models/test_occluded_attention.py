"""Occluded attention against attention of torch's and sums written with loops."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmps.models.roi_heads.occluded_attention import (
    OccludedAttention,
    StripeExchange,
    TokenAttention,
)


def by_loops(layer, x):
    """What a :class:`TokenAttention` gives, with torch's attention and cells summed one by one."""
    n, channels, height, width = x.shape
    attention = nn.MultiheadAttention(layer.query.out_features, layer.heads, batch_first=True)
    parts = layer.query, layer.key, layer.value
    attention.in_proj_weight.data = torch.cat([part.weight for part in parts])
    attention.in_proj_bias.data = torch.cat([part.bias for part in parts])
    attention.out_proj.load_state_dict(layer.out.state_dict())
    u = layer.norm1(layer.to_tokens(x).flatten(2).transpose(1, 2))
    u = u + attention(u, u, u, need_weights=False)[0]
    u = u + layer.ffn(layer.norm2(u))
    cells = layer.to_cells(u).view(n, height, width, channels, layer.kernel, layer.kernel)
    reach = layer.kernel // 2
    out = x.clone()
    for i in range(height):
        for j in range(width):
            for a in range(-reach, reach + 1):
                for b in range(-reach, reach + 1):
                    if 0 <= i + a < height and 0 <= j + b < width:
                        out[:, :, i + a, j + b] += cells[:, i, j, :, a + reach, b + reach]
    return out


@pytest.mark.parametrize('kernel', [1, 3])
@torch.no_grad()
def test_cells_attend_to_each_other_and_overlapping_tokens_are_summed(kernel):
    torch.manual_seed(kernel)
    layer = TokenAttention(channels=4, hidden=8, kernel=kernel, heads=2)
    x = torch.randn(3, 4, 5, 6)
    torch.testing.assert_close(layer(x), by_loops(layer, x), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_half_of_the_channels_goes_to_each_scale():
    torch.manual_seed(0)
    network = OccludedAttention(in_channels=6, out_channels=5, width=8, heads=2).eval()
    x = torch.randn(2, 6, 4, 4)
    skip, y = network(x)
    torch.testing.assert_close(skip, F.conv2d(x, network.skip.weight))
    inner = F.conv2d(x, network.reduce.weight)
    seen = [by_loops(*pair) for pair in zip(network.scales, inner.split(4, 1), strict=True)]
    expected = F.conv2d(inner + torch.cat(seen, 1), network.expand.weight)
    torch.testing.assert_close(y, expected, atol=1e-5, rtol=1e-5)
    first = OccludedAttention(in_channels=6, width=8, heads=2, exchange=False)
    assert first(x)[0] is x


def test_one_row_or_column_comes_from_another_region():
    torch.manual_seed(0)
    x = torch.arange(4 * 14 * 14.0).view(4, 1, 14, 14)
    seen = set()
    for _ in range(300):
        swap = StripeExchange(x)
        changed = (swap(x) != x).flatten(1)
        moved = swap.order != torch.arange(4)
        assert changed.sum(1).tolist() == (14 * moved).tolist()
        seen.add((swap.row, swap.at))
        stripe = x[:, :, swap.at] if swap.row else x[..., swap.at]
        got = swap(x)[:, :, swap.at] if swap.row else swap(x)[..., swap.at]
        assert torch.equal(got, stripe[swap.order])
    # All but the last.
    assert seen == {(row, at) for row in (True, False) for at in range(13)}


def test_stripes_are_exchanged_in_training_only_and_alike_at_both_scales(monkeypatch):
    torch.manual_seed(0)
    network = OccludedAttention(in_channels=4, out_channels=4, width=8, heads=2)
    used = []
    plain = StripeExchange.__call__
    monkeypatch.setattr(
        StripeExchange, '__call__', lambda self, x: used.append((self, x)) or plain(self, x)
    )
    network.eval()(torch.rand(3, 4, 5, 5))
    assert not used
    network.train()(torch.rand(3, 4, 5, 5))
    (skip, _), (one, _), (three, _) = used
    assert one is three
    assert skip is not one
    monkeypatch.undo()
    network.exchange = False
    x = torch.rand(3, 4, 5, 5)
    assert torch.equal(network(x)[1], network(x)[1])
