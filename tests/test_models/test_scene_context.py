import torch
import torch.nn.functional as F

from mmps.models.necks.scene_context import SceneContext


def test_the_largest_values_of_three_convolutions_are_the_context():
    torch.manual_seed(0)
    neck = SceneContext(in_channels=4, width=3).eval()
    norms = [layer for name, layer in neck.layers.named_children() if name.startswith('norm')]
    for norm in norms:
        norm.running_mean.uniform_(-0.2, 0.2)
        norm.running_var.uniform_(0.5, 2)
    x = torch.randn(2, 4, 6, 5)
    y = x
    for i, norm in enumerate(norms, 1):
        conv = neck.layers.get_submodule(f'conv{i}')
        y = F.conv2d(y, conv.weight, conv.bias, padding=1)
        shape = 1, -1, 1, 1
        scale = (norm.running_var + norm.eps).rsqrt().view(shape)
        y = ((y - norm.running_mean.view(shape)) * scale).clamp(min=0)
    given, context = neck((x,))
    assert given is x
    torch.testing.assert_close(context.flatten(1), y.flatten(2).max(2).values)
