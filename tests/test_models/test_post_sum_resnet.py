import torch
import torch.nn.functional as F

from mmps.models.backbones.post_sum_resnet import (
    PostSumBlock,
    PostSumResNet,
    PostSumResNetIdentification,
)


def test_the_norm_of_a_block_follows_the_sum():
    torch.manual_seed(0)
    block = PostSumBlock(4, 2, stride=2).eval()
    for norm in (block.norm1, block.norm2, block.norm3):
        norm.running_mean.uniform_(-1, 1)
        norm.running_var.uniform_(0.5, 2)
    x = torch.randn(1, 4, 5, 5)

    def normed(y, norm):
        shape = 1, -1, 1, 1
        mean, var = norm.running_mean.view(shape), norm.running_var.view(shape)
        return ((y - mean) / (var + norm.eps).sqrt()).clamp(min=0)

    y = normed(F.conv2d(x, block.conv1.weight, block.conv1.bias), block.norm1)
    y = normed(F.conv2d(y, block.conv2.weight, block.conv2.bias, 2, 1), block.norm2)
    y = F.conv2d(y, block.conv3.weight, block.conv3.bias)
    y = y + F.conv2d(x, block.shortcut.weight, block.shortcut.bias, 2)
    torch.testing.assert_close(block(x), normed(y, block.norm3))


def test_layers_are_as_many_as_published_and_the_cut_is_within_conv4():
    stem, rest = PostSumResNet(base_channels=1), PostSumResNetIdentification(base_channels=1)
    convs = [sum(isinstance(m, torch.nn.Conv2d) for m in part.modules()) for part in (stem, rest)]
    assert convs == [1 + 3 * 3 + 1 + 4 * 3 + 1 + 3 * 3 + 1, 3 * 3 + 3 * 3 + 1]
    (x,) = stem(torch.rand(1, 3, 99, 131))
    assert x.shape == (1, 16, 7, 9)  # the first pooling has no border, and rounds up
    assert rest(torch.rand(2, 16, 14, 14)).shape == (2, 32, 7, 7)


def test_norms_of_the_stem_are_not_trained():
    stem = PostSumResNet(base_channels=2, frozen_stages=1, norm_eval=True).train()
    trained = {name for name, p in stem.named_parameters() if p.requires_grad}
    assert not any('norm' in name for name in trained)
    assert {'conv2.0.conv1.weight', 'conv4.2.conv3.bias'} <= trained
    assert not any(name.startswith('conv1.') for name in trained)
    assert not stem.norm1.training
