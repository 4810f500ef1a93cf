"""Stages one behind the other, on networks of a few thousand parameters."""

import math

import pytest
import torch
import torch.nn.functional as F
from helpers.slim_person_search import predict
from mmcv.ops import nms
from mmdet.structures.bbox import bbox2roi, bbox_overlaps
from torch import nn

from mmps.models.roi_heads import NormAwareHead, PooledRegion
from mmps.models.roi_heads.norm_aware_head import footprints
from mmps.registry import MODELS, TASK_UTILS
from mmps.testing.scenes import random_scenes
from mmps.testing.tiny_models import slim_sequential

SEQNET, NAE = 'seqnet/seqnet_r50_prw.py', 'nae/nae_r50_prw.py'
SCENES = [[0, 1, -1], [2, 3]]


def build(path=SEQNET, **overrides):
    model = MODELS.build(slim_sequential(path, **overrides))
    # Heads start so small that all scores and boxes would be alike.
    for name, weight in model.roi_head.named_parameters():
        if 'fc_' in name or 'reid_head' in name:
            nn.init.normal_(weight, std=0.5)
    return model.eval()


@pytest.fixture
def scene():
    """Model, maps, data samples and proposals of two scenes."""
    model = build()
    data = model.data_preprocessor(random_scenes(SCENES))
    with torch.no_grad():
        x = model.extract_feat(data['inputs'])
        proposals = model.rpn_head.predict(x, data['data_samples'], rescale=False)
    return model, x, data['data_samples'], proposals


@torch.no_grad()
def test_both_stages_of_seqnet_as_its_paper_says(scene):
    """Every step again, one region at a time: region networks, heads, decoding, suppression."""
    model, x, samples, proposals = scene
    head = model.roi_head
    head.test_cfg.update(score_thr=0.3, max_per_img=4)
    found = head.predict(x, proposals, samples)
    first, second = head.stages
    for i, (sample, given) in enumerate(zip(samples, proposals, strict=True)):
        boxes, scores = [], []
        for box in given.bboxes:
            _, last, moved = a_region(head, first, x, i, box, sample)
            boxes.append(moved)
            scores.append(first.bbox_head.fc_cls(last).softmax(1)[0, 0])
        boxes, scores = kept(boxes, scores, 0.3, 0.4, 4)
        moved, embeddings = [], []
        for box in boxes:
            pooled, _, after = a_region(head, second, x, i, box, sample)
            moved.append(after)
            parts = zip(second.reid_head.projections, pooled, strict=True)
            embeddings.append(F.normalize(torch.cat([part(rows) for part, rows in parts], 1)))
        after, order = nms(torch.stack(moved), scores, 0.5)
        torch.testing.assert_close(found[i].bboxes, after[:, :4], atol=1e-3, rtol=1e-5)
        torch.testing.assert_close(found[i].scores, scores[order])
        torch.testing.assert_close(found[i].embeddings, torch.cat(embeddings)[order])
        assert len(order) > 1


def a_region(head, stage, x, image, box, sample):
    """Pooled input, pooled output and moved box of a region."""
    regions = head.bbox_roi_extractor.roi_layers[0].layer(
        x[0].contiguous(), torch.cat([torch.tensor([float(image)]), box])[None]
    )
    pooled = [maps.amax((2, 3)) for maps in (regions, stage.shared_head.network(regions))]
    deltas = stage.bbox_head.fc_reg(pooled[-1])[0] * torch.tensor([0.1, 0.1, 0.2, 0.2])
    centre, side = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    centre, side = centre + side * deltas[:2], side * deltas[2:].exp()
    height, width = sample.img_shape
    corners = torch.cat([centre - side / 2, centre + side / 2]).clamp(min=0)
    return pooled, pooled[-1], corners.minimum(torch.tensor([width, height] * 2))


def kept(boxes, scores, score_thr, nms_thr, most):
    boxes, scores = torch.stack(boxes), torch.stack(scores)
    boxes, scores = boxes[scores > score_thr], scores[scores > score_thr]
    _, order = nms(boxes, scores, nms_thr)
    return boxes[order[:most]], scores[order[:most]]


@torch.no_grad()
def test_scores_of_the_last_stage(scene):
    """SeqNeXt's rule; the second stage of SeqNet has no class of its own but a logit."""
    model, x, samples, proposals = scene
    head = model.roi_head
    first = head.predict(x, proposals, samples)
    head.score = 'last'
    last = head.predict(x, proposals, samples)
    rows = torch.cat([people.scores for people in last])
    assert not torch.isin(rows, torch.cat([people.scores for people in first])).any()
    assert ((rows > 0) & (rows < 1)).all()


@torch.no_grad()
def test_an_embedding_is_that_of_the_box_that_went_in(scene):
    """NAE: of the proposal. A query is embedded as such a box is."""
    model, x, samples, proposals = scene
    nae = build(NAE)
    head = nae.roi_head
    head.test_cfg.nms.iou_threshold = 1.0
    (people, _) = head.predict(x, proposals, samples)
    (rows, _) = head.embed(x, [given.bboxes for given in proposals])
    nearest = (people.embeddings @ rows.T).amax(1)
    torch.testing.assert_close(nearest, torch.ones_like(nearest))


@torch.no_grad()
def test_embeddings_of_several_stages_side_by_side(scene):
    model, x, samples, proposals = scene
    model = build(model__roi_head__embed_from=[0, 1])
    head, boxes = model.roi_head, [given.bboxes for given in proposals]
    assert model.embed_dim == 32 and len(head.reid_heads) == 2
    rois = bbox2roi(boxes)
    each = [stage.reid_head(head._maps(stage, x, rois)) for stage in head.stages]
    expected = F.normalize(torch.cat(each, 1))
    torch.testing.assert_close(torch.cat(head.embed(x, boxes)), expected)
    (people, _) = head.predict(x, proposals, samples)
    assert people.embeddings.shape == (len(people), 32)


@torch.no_grad()
def test_small_boxes_and_scores_relative_to_the_best(scene):
    model, x, samples, proposals = scene
    head = model.roi_head
    all_people = head.predict(x, proposals, samples)
    head.test_cfg.relative_scores = True
    for people in head.predict(x, proposals, samples):
        assert people.scores.max() == 1
    head.test_cfg.relative_scores = False
    sides = torch.cat([p.bboxes[:, 2:] - p.bboxes[:, :2] for p in all_people]).amin(1)
    head.test_cfg.min_box_size = float(sides.median()) + 1e-3
    for people in head.predict(x, proposals, samples):
        assert (people.bboxes[:, 2:] - people.bboxes[:, :2]).amin() >= head.test_cfg.min_box_size


@torch.no_grad()
def test_nobody(scene):
    model, x, samples, proposals = scene
    model.roi_head.test_cfg.score_thr = 1.0
    for people in model.roi_head.predict(x, proposals, samples):
        assert people.embeddings.shape == (0, 16) and people.bboxes.shape == (0, 4)
    assert [rows.shape for rows in model.roi_head.embed(x, [torch.zeros(0, 4)] * 2)] == [
        (0, 16)
    ] * 2


def test_an_image_is_found_alone_as_in_a_batch():
    model = build()
    batch = random_scenes(SCENES, queries=[[0], [1]])
    both = predict(model, batch)
    for i, sample in enumerate(both):
        (alone,) = predict(model, {key: [value[i]] for key, value in batch.items()})
        for key in ('bboxes', 'scores', 'embeddings'):
            torch.testing.assert_close(
                sample.pred_instances[key], alone.pred_instances[key], atol=1e-3, rtol=1e-4
            )


@pytest.mark.parametrize('path', [SEQNET, NAE, 'nae/naeplus_r50_prw.py'])
def test_losses_of_a_step(path):
    model = build(path).train()
    data = model.data_preprocessor(random_scenes(SCENES), True)
    losses = model(**data, mode='loss')
    names = {'loss_cls', 'loss_bbox', 'loss_reid'}
    if path == SEQNET:
        assert {'s0.loss_cls', 's0.loss_bbox', *(f's1.{name}' for name in names)} <= set(losses)
        assert 's0.loss_reid' not in losses
    else:
        assert names <= set(losses)
    total = sum(value for key, value in losses.items() if key.endswith(('loss_cls', 'loss_bbox')))
    total.backward()
    reid = model.roi_head.stages[-1].reid_head
    # The logit is a class, so that the length of embeddings learns from detection.
    assert reid.length_norm.weight.grad.abs() > 0
    # Of all regions at once, those of background too.
    assert reid.length_norm.num_batches_tracked == 1
    assert reid.projections[0].linear.weight.grad.abs().sum() > 0


def test_the_second_stage_learns_from_moved_boxes_and_the_people(monkeypatch):
    model = build().train()
    head, seen = model.roi_head, []
    sample = head._sample

    def watched(boxes, people, assigner):
        seen.append(boxes)
        return sample(boxes, people, assigner)

    monkeypatch.setattr(head, '_sample', watched)
    data = model.data_preprocessor(random_scenes(SCENES), True)
    model(**data, mode='loss')
    proposals, moved = seen[:2], seen[2:]
    assert len(moved) == 2 and all(len(boxes) == 8 for boxes in moved)  # as many as were sampled
    assert not any(boxes.requires_grad for boxes in moved)
    assert all(len(boxes) > 8 for boxes in proposals)


def test_oimnetpp_tells_its_norm_who_is_who_and_its_table_how_well_regions_fit(monkeypatch):
    model = build('oimnetpp/oimnetpp_r50_prw.py').train()
    (stage,) = model.roi_head.stages
    head, sampled, seen = model.roi_head, [], {}
    sample = head._sample
    monkeypatch.setattr(
        head, '_sample', lambda *given: sampled.append(sample(*given)) or sampled[-1]
    )
    for name, part in (
        ('norm', stage.reid_head.projections[0].norm),
        ('table', stage.reid_head.criterion),
    ):
        part.register_forward_hook(lambda _, given, found, name=name: seen.update({name: given}))
    data = model.data_preprocessor(random_scenes(SCENES), True)
    model(**data, mode='loss')
    ids, held, overlaps = [], [], []
    for one, data_sample in zip(sampled, data['data_samples'], strict=True):
        people = data_sample.gt_instances
        held.append(people.person_ids[one.pos_assigned_gt_inds])
        ids += [held[-1], torch.full((len(one.neg_priors),), -2)]
        overlaps.append(bbox_overlaps(one.pos_priors, people.bboxes).amax(1))
    assert seen['norm'][1].tolist() == torch.cat(ids).tolist()
    assert seen['table'][1].tolist() == torch.cat(held).tolist()
    torch.testing.assert_close(seen['table'][2], torch.cat(overlaps))


def test_frozen_weights():
    """By the beginnings of their names; norms among them go on taking in statistics."""
    model = MODELS.build(slim_sequential(SEQNET, model__frozen=('backbone',))).train()
    frozen = {n for n, weight in model.named_parameters() if not weight.requires_grad}
    assert frozen == {f'backbone.{n}' for n, _ in model.backbone.named_parameters()}
    norms = [part for part in model.backbone.modules() if hasattr(part, 'running_mean')]
    assert all(norm.training for norm in norms)


def test_rounded_anchors_are_torchvisions():
    """Sizes 32 to 512 at ratios .5, 1 and 2, half to even: torchvision's AnchorGenerator."""
    anchors = TASK_UTILS.build(
        dict(
            type='RoundedAnchorGenerator',
            scales=[2, 4, 8, 16, 32],
            ratios=[0.5, 1.0, 2.0],
            strides=[16],
        )
    ).base_anchors[0]
    sizes, ratios = torch.tensor([32, 64, 128, 256, 512.0]), torch.tensor([0.5, 1.0, 2.0]).sqrt()
    widths, heights = (sizes / ratios[:, None]).flatten(), (sizes * ratios[:, None]).flatten()
    torch.testing.assert_close(
        anchors, torch.stack([-widths, -heights, widths, heights], 1).div(2).round()
    )


def test_pooled_regions():
    region = PooledRegion(dict(type='DenseNetIdentification', in_channels=4, num_layers=1)).eval()
    regions = torch.randn(2, 4, 6, 6)
    first, last = region(regions)
    torch.testing.assert_close(first.flatten(1), regions.amax((2, 3)))
    torch.testing.assert_close(last.flatten(1), region.network(regions).amax((2, 3)))
    region.pool = 'avg'
    torch.testing.assert_close(region(regions)[0].flatten(1), regions.mean((2, 3)))
    region.pool = None
    assert region(regions)[0] is regions
    with pytest.raises(ValueError, match="pool='min'; there are max, avg"):
        PooledRegion(dict(type='DenseNetIdentification'), pool='min')


def test_embedding_of_cells_by_hand():
    """Two cells: the mean of their unit embeddings, weighted by how sure each is a person's."""
    head = NormAwareHead(num_ids=2, in_channels=(2,), embed_dims=(2,), norm=None, per_cell=True)
    head.projections[0].linear.weight.data.copy_(torch.eye(2))
    cells = torch.tensor([[3.0, 4.0], [0.0, 2.0]])  # lengths 5 and 2
    maps = (cells.T.reshape(1, 2, 1, 2),)
    weights = (torch.tensor([5.0, 2.0]) / (1 + 1e-5) ** 0.5).sigmoid()
    unit = torch.tensor([[0.6, 0.8], [0.0, 1.0]])
    head.eval()
    torch.testing.assert_close(head(maps), F.normalize((unit * weights[:, None]).sum(0)[None]))
    torch.testing.assert_close(head.person_scores(head.unscaled(maps)), weights.mean()[None])


def test_a_stage_must_tell_people_apart():
    config = slim_sequential(NAE, model__roi_head__reid_head__logit=False)
    with pytest.raises(ValueError, match='needs a reid_head with logit=True'):
        MODELS.build(config)


def test_footprints_are_masks_resized():
    regions = torch.tensor([[10.0, 20, 50.5, 90], [0, 0, 3.2, 5], [5, 5, 40, 40]])
    people = torch.tensor([[14.0, 5, 40, 60], [1.5, 1, 9, 9], [50, 50, 60, 60]])
    found = footprints(regions, people, (7, 5))
    for region, person, own in zip(regions.tolist(), people.tolist(), found, strict=True):
        left, top, right, bottom = region
        mask = torch.zeros(math.ceil(bottom - top), math.ceil(right - left))
        x1, y1 = (math.floor(max(p - r, 0)) for p, r in zip(person[:2], region[:2], strict=True))
        ends = zip(person[2:], region[2:], region[:2], strict=True)
        x2, y2 = (math.ceil(min(p, end) - start) for p, end, start in ends)
        mask[y1 : y2 + 1, x1 : x2 + 1] = 1
        expected = F.interpolate(mask[None, None], (7, 5), mode='bilinear')[0, 0]
        torch.testing.assert_close(own, expected)
