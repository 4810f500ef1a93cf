import pytest
import torch
from mmdet.models.roi_heads.bbox_heads import BBoxHead
from mmdet.structures.bbox import bbox_overlaps

from mmps.models.roi_heads.person_search_roi_head import (
    BoxJitter,
    SoftAttention,
    scores_and_boxes,
)

BOXES = torch.tensor([[10.0, 20.0, 30.0, 80.0], [0.0, 0.0, 8.0, 4.0]])


def test_moves_by_the_size_of_the_box():
    moved = BoxJitter(copies=2000, shift=0.1, scale=0.0)(BOXES).view(2000, 2, 4)
    centres = (moved[..., :2] + moved[..., 2:]) / 2
    shifts = (centres - torch.tensor([[20.0, 50.0], [4.0, 2.0]])).abs().amax(0)
    limits = torch.tensor([[2.0, 6.0], [0.8, 0.4]])
    assert (shifts <= limits + 1e-4).all()
    assert (shifts > 0.98 * limits).all()


def test_changes_the_size_about_the_centre():
    sized = BoxJitter(copies=2000, shift=0.0, scale=0.25)(BOXES[:1])
    torch.testing.assert_close(
        (sized[:, :2] + sized[:, 2:]) / 2, torch.tensor([20.0, 50.0]).expand(2000, 2)
    )
    ratio = (sized[:, 2:] - sized[:, :2]) / torch.tensor([20.0, 60.0])
    assert ratio.amin() == pytest.approx(0.75, abs=0.01)
    assert ratio.amax() == pytest.approx(1.25, abs=0.01)


def test_a_copy_is_still_the_person():
    copies = BoxJitter(copies=2000)(BOXES)
    overlaps = bbox_overlaps(copies, BOXES.repeat(2000, 1), is_aligned=True)
    assert overlaps.min() > 0.7


def test_nobody():
    assert BoxJitter(copies=3)(torch.zeros(0, 4)).shape == (0, 4)


@torch.no_grad()
def test_scores_and_boxes_are_not_rounded_to_bfloat16():
    head = BBoxHead(True, roi_feat_size=2, in_channels=8, num_classes=1).eval()
    head.fc_cls.weight.normal_()
    head.fc_reg.weight.normal_()
    feats = torch.randn(50, 8, 2, 2).bfloat16()
    expected = head(feats.float())
    with torch.autocast('cpu', torch.bfloat16):
        found = scores_and_boxes(head, feats)
        rounded = head(feats)
        learnt = scores_and_boxes(head.train(), feats)
    for one, other, coarse, same in zip(found, expected, rounded, learnt, strict=True):
        assert torch.equal(one, other)
        assert coarse.dtype == torch.bfloat16 and not torch.equal(coarse.float(), other)
        assert torch.equal(same, coarse)


@pytest.mark.parametrize(
    ('mode', 'shape'),
    [('spatial', (3, 1, 5, 7)), ('channel', (3, 32, 1, 1)), ('both', (3, 32, 5, 7))],
)
def test_mask_of_attention_is_between_0_and_1_and_multiplies(mode, shape):
    attention = SoftAttention(32, mode=mode)
    x = 50 * torch.randn(3, 32, 5, 7)
    mask = attention.mask(x)
    assert mask.shape == shape
    assert mask.min() >= 0 and mask.max() <= 1
    assert torch.equal(attention(x), x * mask)


@pytest.mark.parametrize('mode', ['spatial', 'channel', 'both'])
def test_mask_of_attention_depends_on_the_region_and_learns(mode):
    attention = SoftAttention(16, mode=mode)
    mask = attention.mask(torch.randn(2, 16, 4, 4))
    assert not torch.allclose(mask[0], mask[1])
    mask.sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in attention.parameters())


def test_attention_to_no_region():
    assert SoftAttention(16, mode='both')(torch.zeros(0, 16, 4, 4)).shape == (0, 16, 4, 4)


def test_unknown_mode_of_attention():
    with pytest.raises(ValueError, match="mode='hard'"):
        SoftAttention(16, mode='hard')
