import torch
import torch.nn.functional as F
from helpers.published_weights import slim_network
from torch import nn

from mmps.models.necks.scene_context import SceneContext
from mmps.registry import MODELS
from mmps.testing.tiny_models import small_config


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


class Maps(nn.Module):
    """Two maps of each region: what it is, and what it is times ten, twice."""

    def forward(self, regions):
        pooled = regions.amax((2, 3), keepdim=True)
        return pooled, torch.cat([10 * pooled] * 2, 1)


@torch.no_grad()
def test_each_region_is_embedded_with_the_context_of_its_own_image():
    config = small_config('glcnet/glcnet_r50_prw.py')
    config.model = slim_network(config.model)
    head = MODELS.build(config.model).eval().roi_head
    stage = head.stages[1]
    stage.shared_head = Maps()
    x = torch.rand(2, 128, 6, 8), torch.tensor([[1.0], [2.0]]).view(2, 1, 1, 1).expand(2, 128, 1, 1)
    rois = torch.tensor([[1, 0.0, 0, 60, 60], [0, 0, 0, 60, 60], [1, 16, 16, 90, 90]])
    seen, last, context = head._maps(stage, x, rois)
    assert torch.equal(last[:, 128:], 10 * seen)
    assert context[:, 0].flatten().tolist() == [2, 1, 2]
    boxes, rows = [], []
    stage.bbox_head.register_forward_pre_hook(lambda _, given: boxes.append(given[0]))
    stage.reid_head.projections[2].register_forward_pre_hook(lambda _, given: rows.append(given[0]))
    head.embed(x, [rois[1:2, 1:], rois[[0, 2], 1:]])
    stage((seen, last, context))
    assert rows[0][:, 0].tolist() == [1, 2, 2]
    assert torch.equal(boxes[0], last.flatten(1))
