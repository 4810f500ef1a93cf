import torch

from mmps.models.layers import AffineFrame

BOXES = torch.tensor([[10.0, 20.0, 50.0, 120.0], [0.0, 0.0, 200.0, 100.0]])


def test_identity_changes_nothing():
    frame = AffineFrame(torch.eye(2, 3)[None], (200, 100))
    torch.testing.assert_close(frame.to_image(BOXES, 0), BOXES)


def test_scale_and_shift_by_hand():
    theta = torch.tensor([[[0.5, 0.0, 0.1], [0.0, 1.0, -0.2]]])
    frame = AffineFrame(theta, (200, 100))
    # x: 100 + 0.5 (x - 100) + 0.1 * 100; y: y - 0.2 * 50
    expected = torch.tensor([[65.0, 10.0, 85.0, 110.0], [60.0, -10.0, 160.0, 90.0]])
    torch.testing.assert_close(frame.to_image(BOXES, 0), expected)


def test_way_back_is_the_inverse_of_any_affine_map():
    theta = torch.eye(2, 3) + 0.2 * torch.rand(3, 2, 3)
    frame = AffineFrame(theta, (200, 100))
    for i in range(3):
        back = frame.to_warped(frame.to_image(BOXES, i), i)
        torch.testing.assert_close(back, BOXES, atol=1e-3, rtol=0)


def test_boxes_of_several_images_at_once():
    frame = AffineFrame(torch.eye(2, 3) + 0.2 * torch.rand(3, 2, 3), (200, 100))
    index = torch.tensor([2, 0])
    for move in (frame.to_image, frame.to_warped):
        alone = torch.cat([move(BOXES[i : i + 1], int(index[i])) for i in range(2)])
        torch.testing.assert_close(move(BOXES, index), alone)


def test_no_boxes():
    frame = AffineFrame(torch.eye(2, 3)[None], (200, 100))
    assert frame.to_warped(BOXES[:0], 0).shape == (0, 4)
