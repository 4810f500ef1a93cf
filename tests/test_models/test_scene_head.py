import torch
import torch.nn.functional as F

from mmps.evaluation.functional.scenes import scene_factors
from mmps.models.roi_heads.scene_head import SceneHead


def test_factors_are_cosines_of_scenes_weighted_by_a_person():
    """The definition, person by person and scene by scene."""
    torch.manual_seed(0)
    conv = dict(type='ConvModule', in_channels=4, out_channels=6, kernel_size=3)
    head = SceneHead(dict(type='PooledRegion', network=conv), (4, 6), (8, 8), pool_size=7).eval()
    head.norm.running_mean.normal_(std=0.1)
    head.norm.running_var.uniform_(0.5, 2)
    for p in head.norm.parameters():
        p.data.normal_()
    x = torch.rand(3, 4, 9, 12)
    people = F.normalize(torch.randn(5, 16))
    own = torch.tensor([0, 0, 1, 2, 2])
    with torch.no_grad():
        scenes = head(x)
        factors = scene_factors(head.filters(people, scenes[own]).numpy(), scenes.numpy())
        for person, row, number in zip(people, factors, own, strict=True):
            gate = torch.sigmoid(person / 0.2)
            seen = F.normalize(head.norm(scenes * gate))
            expected = torch.sigmoid(seen @ seen[number])
            torch.testing.assert_close(torch.from_numpy(row), expected, atol=1e-6, rtol=1e-5)


def test_a_scene_is_the_largest_values_of_its_pooled_map():
    torch.manual_seed(0)
    conv = dict(type='ConvModule', in_channels=4, out_channels=6, kernel_size=1)
    head = SceneHead(dict(type='PooledRegion', network=conv), (4, 6), (8, 8), pool_size=3).eval()
    x = torch.randn(1, 4, 6, 9)
    pooled = F.max_pool2d(x, (2, 3))
    rows = [pooled.amax((2, 3)), head.shared_head.network(pooled).amax((2, 3))]
    parts = [project(row) for project, row in zip(head.projections, rows, strict=True)]
    torch.testing.assert_close(head(x), F.normalize(torch.cat(parts, 1)))
