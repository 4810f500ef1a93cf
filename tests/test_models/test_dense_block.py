import pytest
import torch
from helpers.norms import randomise_norms
from torch import nn

from mmps.models.layers import DenseBlock


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
