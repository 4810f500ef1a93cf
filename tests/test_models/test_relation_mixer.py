"""The relation mixer, written out in numpy."""

import numpy as np
import torch
from scipy.special import erf, expit
from torch import nn

from mmps.models.roi_heads.relation_mixer import RelationMixer


class Seen(nn.Module):
    def forward(self, x):
        return x + 1


def linear(x, layer):
    return x @ layer.weight.numpy().T + layer.bias.numpy()


def mlp(x, layers):
    hidden = linear(x, layers[0])
    return linear(hidden * (1 + erf(hidden / np.sqrt(2))) / 2, layers[3])


def layer_norm(x, norm):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + norm.eps)
    return x * norm.weight.numpy() + norm.bias.numpy()


def cell_gate(x, gate):
    """x (c, h, w)"""
    padded = np.pad(np.stack([x.max(0), x.mean(0)]), ((0, 0), (3, 3), (3, 3)))
    kernel = gate.conv.weight.numpy()[0]
    height, width = x.shape[1:]
    found = np.array(
        [
            [(padded[:, i : i + 7, j : j + 7] * kernel).sum() for j in range(width)]
            for i in range(height)
        ]
    )
    norm = gate.norm
    scale = norm.weight.item() / np.sqrt(norm.running_var.item() + norm.eps)
    return x * expit((found - norm.running_mean.item()) * scale + norm.bias.item())


def channel_gate(x, gate):
    first, _, second = gate.mlp
    parts = (np.maximum(linear(pool, first), 0) for pool in (x.mean((1, 2)), x.max((1, 2))))
    return x * expit(sum(linear(part, second) for part in parts))[:, None, None]


def simam(x):
    distance = (x - x.mean((1, 2), keepdims=True)) ** 2
    variance = distance.sum((1, 2), keepdims=True) / (x.shape[1] * x.shape[2] - 1)
    return x * expit(distance / (4 * (variance + 1e-4)) + 0.5)


def gated(cells, gate, layer, shape):
    """Memory is read as (c, h, w), and written back with channels last."""
    return gate(cells.reshape(shape), layer).transpose(1, 2, 0).reshape(cells.shape)


def test_a_region_is_mixed_as_written_out(monkeypatch):
    torch.manual_seed(0)
    conv = dict(type='ConvModule', in_channels=6, out_channels=3, kernel_size=1)
    mixer = RelationMixer(conv, in_channels=6, width=16, size=4).eval()
    mixer.network = Seen()
    for p in mixer.parameters():
        p.data.normal_(std=0.5)
    mixer.cell_gate.norm.running_mean.fill_(0.3)
    mixer.cell_gate.norm.running_var.fill_(2.0)
    x = torch.randn(2, 6, 4, 4)
    with torch.no_grad():
        mixed, behind = mixer(x)
        reduced, expand = mixer.reduce(x).numpy().astype(float), mixer.expand
        for region, seen in zip(reduced, mixed, strict=True):
            cells = region.transpose(1, 2, 0).reshape(16, 16)
            normed = layer_norm(
                cells + gated(cells, cell_gate, mixer.cell_gate, region.shape), mixer.cell_norm
            )
            cells = cells + mlp(normed.T, mixer.cell_mlp).T
            normed = layer_norm(
                cells + gated(cells, channel_gate, mixer.channel_gate, region.shape),
                mixer.channel_norm,
            )
            cells = cells + mlp(normed, mixer.channel_mlp)
            total = cells.reshape(region.shape) + simam(region) + region
            weight = expand.weight.numpy()[:, :, 0, 0]
            expected = np.einsum('oc,chw->ohw', weight, total) + expand.bias.numpy()[:, None, None]
            np.testing.assert_allclose(seen, expected, atol=1e-4)
    assert torch.equal(behind, mixed + 1)
