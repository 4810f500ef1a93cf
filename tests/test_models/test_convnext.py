import torch
import torch.nn.functional as F

from mmps.models.backbones.convnext import ConvNeXt, ConvNeXtBlock, ConvNeXtIdentification


def test_there_are_as_many_weights_as_in_the_published_network():
    stem, rest = ConvNeXt(), ConvNeXtIdentification()
    weights = sum(p.numel() for part in (stem, rest) for p in part.parameters())
    classifier = 2 * 1024 + 1024 * 1000 + 1000
    assert weights + classifier == 88_591_464  # torchvision's convnext_base
    names = {*stem.state_dict(), *rest.state_dict()}
    for name in ('0.0.weight', '0.1.bias', '1.0.layer_scale', '1.2.block.5.weight', '2.0.weight'):
        assert f'features.{name}' in names
    for name in ('2.1.weight', '5.26.block.0.bias', '6.0.bias', '6.1.weight', '7.2.block.2.weight'):
        assert f'features.{name}' in names


def test_a_block_is_a_depthwise_convolution_and_two_layers_for_each_cell():
    torch.manual_seed(0)
    block = ConvNeXtBlock(4).eval()
    block.layer_scale.data.uniform_(0.5, 1)
    x = torch.randn(2, 4, 9, 8)
    conv, norm, expand, reduce = block.block.values()
    y = torch.stack(
        [
            F.conv2d(x[:, c : c + 1], conv.weight[c : c + 1], conv.bias[c : c + 1], padding=3)[:, 0]
            for c in range(4)
        ],
        -1,
    )
    y = (y - y.mean(-1, keepdim=True)) / (y.var(-1, keepdim=True, unbiased=False) + 1e-6).sqrt()
    y = y * norm.weight + norm.bias
    y = F.gelu(y @ expand.weight.T + expand.bias) @ reduce.weight.T + reduce.bias
    torch.testing.assert_close(block(x), x + block.layer_scale * y.permute(0, 3, 1, 2))


def test_a_part_is_frozen_and_blocks_are_left_out_in_training():
    stem = ConvNeXt((1, 1, 2), (4, 8, 16), drop_path_rates=(0.0, 0.6), frozen_stages=1)
    rates = [m.drop_path.drop_prob for m in stem.modules() if isinstance(m, ConvNeXtBlock)]
    torch.testing.assert_close(torch.tensor(rates), torch.tensor([0.0, 0.2, 0.4, 0.6]))
    trained = {name for name, p in stem.named_parameters() if p.requires_grad}
    assert not any(name.startswith('features.0.') for name in trained)
    assert 'features.1.0.layer_scale' in trained
