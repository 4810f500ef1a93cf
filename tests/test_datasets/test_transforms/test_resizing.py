import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.structures.bbox import HorizontalBoxes

from mmps.datasets.transforms import ResizeToFit


@pytest.mark.parametrize(
    ('size', 'options', 'expected'),
    [
        ((1080, 1920), {}, (843, 1500)),
        ((576, 720), {}, (900, 1125)),
        ((1080, 1920), dict(rounding='nearest'), (844, 1500)),
        ((1080, 1920), dict(rounding='even'), (844, 1500)),
        # 900 / 1100 in float32 is just below, so that the shorter side misses 900.
        ((1100, 1100), dict(scale_dtype='float32'), (899, 899)),
        ((1920, 1080), {}, (1500, 843)),
    ],
)
def test_sizes(size, options, expected):
    image = np.zeros((*size, 3), np.uint8)
    assert ResizeToFit((1500, 900), **options)(dict(img=image))['img_shape'] == expected


def test_a_float32_factor_misses_the_limit_in_some_sizes():
    """torchvision 0.10 to 0.13: about half of all sizes differ from those of a float64 factor."""
    exact, single = ResizeToFit((1500, 900)), ResizeToFit((1500, 900), scale_dtype='float32')
    sizes = [(height, width) for height in range(200, 1100, 37) for width in range(200, 1900, 41)]
    different = [one for one in sizes if exact._size(*one) != single._size(*one)]
    assert 0.3 < len(different) / len(sizes) < 0.7


@pytest.mark.parametrize('backend', ['torch', 'cv2'])
def test_values_and_boxes(backend):
    image = np.random.default_rng(0).integers(0, 256, (61, 83, 3), dtype=np.uint8)
    results = dict(img=image, gt_bboxes=HorizontalBoxes(torch.tensor([[8.0, 6.0, 40.0, 60.0]])))
    results = ResizeToFit((50, 40), backend=backend)(results)
    planes = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    expected = F.interpolate(planes, (36, 50), mode='bilinear')[0].permute(1, 2, 0).numpy()
    assert results['img'].dtype == np.float32
    np.testing.assert_allclose(results['img'], expected, atol=2e-3)
    across, down = results['scale_factor']
    assert (across, down) == (50 / 83, 36 / 61)
    moved = results['gt_bboxes'].tensor
    torch.testing.assert_close(
        moved, torch.tensor([[8 * across, 6 * down, 40 * across, 60 * down]])
    )


@pytest.mark.parametrize(
    ('size', 'scale'),
    [((480, 640), 1.25), ((600, 800), 1), ((1080, 1920), 1000 / 1920), ((480, 800), 1.25)],
)
def test_one_factor_samples_both_axes(size, scale):
    image = np.random.default_rng(0).integers(0, 256, (*map(int, size), 3), dtype=np.uint8)
    transform = ResizeToFit((1000, 600), backend='cv2', sample_by='scale')
    results = transform(dict(img=image))
    expected = cv2.resize(image.astype(np.float32), None, fx=scale, fy=scale)
    np.testing.assert_array_equal(results['img'], expected)
    assert results['scale_factor'] == (scale, scale)
    assert results['img_shape'] == expected.shape[:2]


def test_normalised_first_as_torchvision_does():
    image = np.random.default_rng(0).integers(0, 256, (61, 83, 3), dtype=np.uint8)
    mean, std = (0.406, 0.456, 0.485), (0.225, 0.224, 0.229)
    pixels = torch.from_numpy(image).permute(2, 0, 1).float().div(255)
    pixels = (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    expected = F.interpolate(pixels[None], (36, 50), mode='bilinear')[0].permute(1, 2, 0).numpy()
    transform = ResizeToFit((50, 40), normalize=dict(mean=mean, std=std))
    np.testing.assert_array_equal(transform(dict(img=image))['img'], expected)


def test_normalised_first_in_another_precision():
    image = np.random.default_rng(0).integers(0, 256, (61, 83, 3), dtype=np.uint8)
    mean, std = (102.9801, 115.9465, 122.7717), (1.0, 2.0, 3.0)
    normalize = dict(mean=mean, std=std, divisor=1, dtype='float64')
    transform = ResizeToFit((50, 40), backend='cv2', normalize=normalize)
    expected = cv2.resize(((image - np.array(mean)) / np.array(std)).astype(np.float32), (50, 36))
    np.testing.assert_array_equal(transform(dict(img=image))['img'], expected)


@pytest.mark.parametrize(
    'wrong',
    [dict(rounding='up'), dict(backend='pillow'), dict(sample_by='scale'), dict(sample_by='eye')],
)
def test_unknown_options(wrong):
    with pytest.raises(ValueError, match='; there (are|is)'):
        ResizeToFit((50, 40), **wrong)
