import torch
import torch.nn.functional as F

from mmps.evaluation.functional.similarities import scene_factors
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


def test_the_loss_pair_by_pair():
    """Two labelled people and two unlabelled ones in three scenes, the first two of which share
    person 3.
    """
    torch.manual_seed(0)
    conv = dict(type='ConvModule', in_channels=4, out_channels=6, kernel_size=1)
    head = SceneHead(dict(type='PooledRegion', network=conv), (4, 6), (8, 8), pool_size=3).eval()
    x = torch.rand(3, 4, 5, 5)
    ids = [torch.tensor([3, -1]), torch.tensor([3]), torch.tensor([5, -1])]
    people = list(F.normalize(torch.randn(5, 16)).split([2, 1, 2]))
    scenes = head(x)

    def similar(person, own, other):
        seen = [
            F.normalize(head.norm((scenes[i] * torch.sigmoid(person / 0.2))[None]))
            for i in (own, other)
        ]
        return (seen[0] * seen[1]).sum() / 0.1

    # (scene, row), scenes that hold the person, scenes that do not.
    pairs = [
        ((0, 0), [0, 1], [2]),
        ((0, 1), [0], [2]),  # scene 1 shares person 3, and may hold this one, too
        ((1, 0), [0, 1], [2]),
        ((2, 0), [2], [0, 1]),
        ((2, 1), [2], [0, 1]),
    ]
    losses = []
    for (own, row), holding, others in pairs:
        person = people[own][row]
        rest = torch.stack([similar(person, own, other) for other in others])
        for scene in holding:
            positive = similar(person, own, scene)
            losses.append(torch.cat([positive[None], rest]).logsumexp(0) - positive)
    found = head.loss(x, people, ids)['loss_scene']
    torch.testing.assert_close(found, torch.stack(losses).mean())
    alone = head.loss(x[:1], people[:1], ids[:1])['loss_scene']
    alone.backward()
    assert alone.item() == 0
    assert all(p.grad is None or p.grad.isfinite().all() for p in head.parameters())
    nobody = head.loss(x, [p[:0] for p in people], [i[:0] for i in ids])['loss_scene']
    assert nobody.item() == 0


def test_earlier_scenes_take_part():
    """Of image 3, which comes again, and of images that share nobody with the batch none does."""
    torch.manual_seed(0)
    conv = dict(type='ConvModule', in_channels=4, out_channels=6, kernel_size=1)
    head = SceneHead(dict(type='PooledRegion', network=conv), (4, 6), (8, 8), pool_size=3).eval()
    seen = {3: [1], 4: [2, -1], 5: [6, 1, 2], 7: [8], 8: [-1], 9: [], 6: [1]}
    ids = {image: torch.tensor(some, dtype=torch.long) for image, some in seen.items()}
    maps = {image: torch.rand(1, 4, 5, 5) for image in seen}
    rows = {image: F.normalize(torch.randn(len(some), 16)) for image, some in seen.items()}
    for image in seen:
        head.loss(maps[image], [rows[image]], [ids[image]], [image])
    assert head._earlier.keys() == seen.keys() - {9}

    def drawn(batch, images):
        found = [
            [one.ids.tolist() for one in head._draw([*map(torch.tensor, batch)], images)]
            for _ in range(50)
        ]
        return {tuple(map(tuple, one)) for one in found}

    # One person: one scene with it, and one without it but with somebody of its image.
    assert drawn([[1, 2]], [3]) == {
        ((1,), (2, -1)),  # of 1: scene 6 holds it, scene 4 holds 2, not 1
        ((6, 1, 2), (2, -1)),
        ((2, -1), (1,)),  # of 2: scene 4 or 5 holds it, scene 6 holds 1, not 2
        ((6, 1, 2), (1,)),
    }
    assert drawn([[9, -1]], [3]) == {()}  # nobody of it has been seen
    # As many people as images, no scene twice: 6 in scene 5, or none for 2 where 5 is gone.
    assert drawn([[6], [2]], [4, 3]) == {((6, 1, 2),)}
    assert drawn([[-1], [-1, 8]], [3, 4]) == {((8,),)}

    # Drawn scenes count as those of the batch do.
    x = torch.rand(1, 4, 5, 5)
    people, who = F.normalize(torch.randn(2, 16)), torch.tensor([6, -1])
    together = torch.cat([x, maps[5]]), [people, rows[5]], [who, ids[5]]
    expected = head.loss(*together)['loss_scene']
    found = head.loss(x, [people], [who], [10])['loss_scene']
    torch.testing.assert_close(found, expected)
    assert expected > 0.1
    assert head._earlier[10].ids.tolist() == [6, -1]
    torch.testing.assert_close(head._earlier[10].scene, head(x)[0].detach())


def test_a_scene_is_the_largest_values_of_its_pooled_map():
    torch.manual_seed(0)
    conv = dict(type='ConvModule', in_channels=4, out_channels=6, kernel_size=1)
    head = SceneHead(dict(type='PooledRegion', network=conv), (4, 6), (8, 8), pool_size=3).eval()
    x = torch.randn(1, 4, 6, 9)
    pooled = F.max_pool2d(x, (2, 3))
    rows = [pooled.amax((2, 3)), head.shared_head.network(pooled).amax((2, 3))]
    parts = [project(row) for project, row in zip(head.projections, rows, strict=True)]
    torch.testing.assert_close(head(x), F.normalize(torch.cat(parts, 1)))
