"""Conventions of py-faster-rcnn against values by hand and an operator written with loops."""

import math

import numpy as np
import torch
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from mmengine.config import ConfigDict

from mmps.models.py_faster_rcnn import (
    PyFasterRCNNAnchorGenerator,
    PyFasterRCNNBBoxCoder,
    PyFasterRCNNBBoxHead,
    PyFasterRCNNRPNHead,
    QuantisedRoIPool,
)


def test_anchors_are_those_that_its_source_lists():
    generator = PyFasterRCNNAnchorGenerator(
        strides=[16], ratios=[0.5, 1.0, 2.0], scales=[8, 16, 32]
    )
    assert generator.base_anchors[0].tolist() == [
        [-84, -40, 99, 55],
        [-176, -88, 191, 103],
        [-360, -184, 375, 199],
        [-56, -56, 71, 71],
        [-120, -120, 135, 135],
        [-248, -248, 263, 263],
        [-36, -80, 51, 95],
        [-80, -168, 95, 183],
        [-168, -344, 183, 359],
    ]
    (anchors,) = generator.grid_priors([(2, 3)], device='cpu')
    assert anchors[9 * (3 + 2)].tolist() == [-84 + 32, -40 + 16, 99 + 32, 55 + 16]


def test_a_box_has_the_pixels_of_both_corners():
    coder = PyFasterRCNNBBoxCoder(target_stds=(0.1, 0.1, 0.2, 0.2))
    box, person = torch.tensor([[0.0, 0.0, 9.0, 19.0]]), torch.tensor([[5.0, 4.0, 9.0, 13.0]])
    # 10 x 20 around (5, 10) to 5 x 10 around (7.5, 9).
    expected = [2.5 / 10 / 0.1, -1 / 20 / 0.1, math.log(0.5) / 0.2, math.log(0.5) / 0.2]
    deltas = coder.encode(box, person)
    np.testing.assert_allclose(deltas[0], expected, rtol=1e-5)
    np.testing.assert_allclose(coder.decode(box, deltas), person, atol=1e-5)
    clipped = coder.decode(box, deltas, max_shape=(12, 8))
    np.testing.assert_allclose(clipped[0], [5, 4, 7, 11], atol=1e-5)
    # Far more than mmdet's coder allows.
    grown = coder.decode(box, torch.tensor([[0.0, 0, 6 / 0.2, 0]]))
    np.testing.assert_allclose(grown[0, 2] - grown[0, 0] + 1, 10 * math.exp(6), rtol=1e-5)


def loops(x, rois, size):
    """Caffe's operator, in its float32 arithmetic."""
    x, rois = x.numpy(), rois.numpy()
    out = np.zeros((len(rois), x.shape[1], size, size), np.float32)
    height, width = x.shape[2:]
    for n, (image, *corners) in enumerate(rois):
        x1, y1, x2, y2 = (int(math.copysign(abs(c) / 16 + 0.5, c)) for c in corners)
        bin_h = np.float32(max(y2 - y1 + 1, 1)) / np.float32(size)
        bin_w = np.float32(max(x2 - x1 + 1, 1)) / np.float32(size)
        for i in range(size):
            for j in range(size):
                top = min(max(int(np.floor(np.float32(i) * bin_h)) + y1, 0), height)
                low = min(max(int(np.ceil(np.float32(i + 1) * bin_h)) + y1, 0), height)
                left = min(max(int(np.floor(np.float32(j) * bin_w)) + x1, 0), width)
                right = min(max(int(np.ceil(np.float32(j + 1) * bin_w)) + x1, 0), width)
                if low > top and right > left:
                    out[n, :, i, j] = x[int(image), :, top:low, left:right].max((1, 2))
    return out


def test_regions_are_pooled_as_with_loops():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 19, 30, generator=generator)
    corners = torch.rand(60, 4, generator=generator) * torch.tensor([480.0, 304, 480, 304])
    corners = torch.cat(
        [corners[:, :2].minimum(corners[:, 2:]), corners.max(0).values.expand(60, 4)[:, 2:]], 1
    )
    corners[:20, 2:] = corners[:20, :2] + torch.rand(20, 2, generator=generator) * 60
    special = torch.tensor(
        [
            [0.0, 0, 479, 303],  # the whole map
            [-40, -40, 8, 8],  # corners that round away from zero, half of it outside
            [470, 300, 600, 500],  # beyond the map
            [500, 320, 560, 400],  # nowhere
            [24, 24, 24, 24],
        ]
    )
    boxes = torch.cat([corners, special])
    rois = torch.cat([torch.arange(len(boxes))[:, None] % 2, boxes], 1)
    for size in (7, 14):
        pool = QuantisedRoIPool(size, out_channels=3)
        np.testing.assert_array_equal(pool((x,), rois), loops(x, rois, size))
    assert pool((x,), rois[:0]).shape == (0, 3, 14, 14)


def test_a_gradient_reaches_the_largest_cell_of_each_bin():
    x = torch.arange(16.0).view(1, 1, 4, 4).requires_grad_()
    QuantisedRoIPool(2, out_channels=1)((x,), torch.tensor([[0.0, 0, 0, 48, 48]])).sum().backward()
    assert x.grad.view(4, 4).nonzero().tolist() == [[1, 1], [1, 3], [3, 1], [3, 3]]


def test_small_boxes_are_dropped_before_the_best_are_taken():
    head = PyFasterRCNNRPNHead(
        in_channels=4,
        anchor_generator=dict(
            type='PyFasterRCNNAnchorGenerator', strides=[16], ratios=[1.0], scales=[1, 4]
        ),
        bbox_coder=dict(type='PyFasterRCNNBBoxCoder'),
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False),
        test_cfg=ConfigDict(
            nms_pre=2, max_per_img=2, nms=dict(type='nms', iou_threshold=0.9), min_bbox_size=-1
        ),
    )
    logits = torch.zeros(1, 4, 1, 3)
    # Of each cell the small anchor, person and background, then the large one: the small are best.
    logits[0, 0] = torch.tensor([9.0, 8, 7])
    logits[0, 2] = torch.tensor([1.0, 3, 2])
    sample = dict(img_shape=(200, 200), scale_factor=(1.5, 1.5))  # so that 16 pixels are 24 here
    (found,) = head.predict_by_feat([logits], [torch.zeros(1, 8, 1, 3)], batch_img_metas=[sample])
    # Cells 1 and 2, at 16 and 32 pixels; anchors of 64 pixels around 7.5.
    assert found.bboxes.tolist() == [[0, 0, 55, 39], [8, 0, 71, 39]]
    expected = torch.tensor([3.0, 2.0]).sigmoid()
    np.testing.assert_allclose(found.scores, expected, rtol=1e-6)


def test_boxes_are_moved_in_pixels_of_the_original_image():
    head = PyFasterRCNNBBoxHead(
        in_channels=2, roi_feat_size=1, num_classes=1, bbox_coder=dict(type='PyFasterRCNNBBoxCoder')
    )
    roi, deltas = torch.tensor([[0, 20.0, 10, 38, 48]]), torch.tensor([[0.0, 0, math.log(2), 0]])
    meta = dict(img_shape=(100, 100), ori_shape=(50, 40), scale_factor=(2.0, 2.0))
    found = head._predict_by_feat_single(roi, torch.zeros(1, 2), deltas, meta)
    # (10, 5, 19, 24) is ten wide, twice as wide (5, 5, 24, 24).
    np.testing.assert_allclose(found.bboxes, [[10, 10, 48, 48]], atol=1e-4)
    resized = DeltaXYWHBBoxCoder().decode(roi[:, 1:], deltas)
    assert (resized - found.bboxes).abs().max() > 0.9
