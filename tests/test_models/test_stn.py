import pytest
import torch

from mmps.models.necks.stn import STN, AffineFrame, SpatialTransformer


@pytest.mark.parametrize('size', [(14, 14), (57, 94), (3, 1)])
def test_identity_at_initialisation(size):
    x = torch.randn(2, 16, *size)
    (out,) = STN(in_channels=16)((x,))
    assert (out - x).abs().max() <= 1e-6


def test_the_localisation_network_learns():
    neck = STN(in_channels=4)
    ((out,), theta) = neck.warp((torch.randn(2, 4, 8, 8),))
    (out * torch.randn_like(out)).sum().backward()
    assert neck.transformer.localisation[-1].weight.grad.abs().sum() > 0
    assert theta.shape == (2, 2, 3)


def test_the_warp_is_bounded():
    transformer = SpatialTransformer(4, max_linear=0.1, max_shift=0.05)
    transformer.localisation[-1].weight.data.normal_(std=1e4)
    residual = transformer.theta(torch.randn(8, 4, 8, 8)) - torch.eye(2, 3)
    assert residual[..., :2].abs().max() <= 0.1 + 1e-6
    assert residual[..., 2].abs().max() <= 0.05 + 1e-6


def test_boxes_follow_the_features():
    """A bright rectangle in the image is where the frame says it is in the warped map."""
    transformer = SpatialTransformer(1, max_linear=0.2, max_shift=0.2)
    transformer.localisation[-1].bias.data = torch.tensor([9.0, 0.0, 9.0, 0.0, -9.0, -9.0])
    x = torch.zeros(1, 1, 60, 100)
    x[..., 20:40, 30:60] = 1
    warped, theta = transformer(x)
    (box,) = AffineFrame(theta, (100, 60)).to_warped(torch.tensor([[30.0, 20.0, 60.0, 40.0]]), 0)
    ys, xs = torch.where(warped[0, 0] > 0.5)
    found = torch.stack([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
    torch.testing.assert_close(box, found.float(), atol=0.5, rtol=0)


def test_a_bound_that_could_fold_the_map_is_refused():
    with pytest.raises(ValueError, match='max_linear=0.5'):
        SpatialTransformer(4, max_linear=0.5)


BOXES = torch.tensor([[10.0, 20.0, 50.0, 120.0], [0.0, 0.0, 200.0, 100.0]])


def test_identity_changes_nothing():
    frame = AffineFrame(torch.eye(2, 3)[None], (200, 100))
    torch.testing.assert_close(frame.to_image(BOXES, 0), BOXES)


HALF = 50 * 1.16**0.5
"""Of 100 pixels down that also go 40 across."""


@pytest.mark.parametrize(
    ('theta', 'expected'),
    [
        # x: 100 + 0.5 (x - 100) + 0.1 * 100; y: y - 0.2 * 50
        ([[0.5, 0.0, 0.1], [0.0, 1.0, -0.2]], [[65, 10, 85, 110], [60, -10, 160, 90]]),
        # x: x + 0.2 * 100 / 50 (y - 50)
        (
            [[1.0, 0.2, 0.0], [0.0, 1.0, 0.0]],
            [[18, 70 - HALF, 58, 70 + HALF], [0, 50 - HALF, 200, 50 + HALF]],
        ),
    ],
)
def test_affine_maps_by_hand(theta, expected):
    frame = AffineFrame(torch.tensor([theta]), (200, 100))
    torch.testing.assert_close(frame.to_image(BOXES, 0), torch.tensor(expected).float())


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
