import numpy as np
import pytest

from mmps.datasets.transforms import RandomGaussianBlur, RandomGaussianNoise


@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_noise_has_the_drawn_deviation_and_no_bias(dtype, monkeypatch):
    monkeypatch.setattr(np.random, 'uniform', lambda low, high: high)
    grey = np.full((200, 200, 3), 128, dtype)
    image = RandomGaussianNoise(max_sigma=10)(dict(img=grey.copy()))['img']
    assert image.dtype == dtype
    difference = image.astype(np.float64) - grey
    assert abs(difference.mean()) < 0.2
    assert abs(difference.std() - 10) < 0.2
    # Channels are independent of each other.
    assert abs(np.corrcoef(difference.reshape(-1, 3).T)[0, 1]) < 0.02


def test_noise_saturates_instead_of_wrapping():
    for value in (0, 255):
        image = RandomGaussianNoise(40)(dict(img=np.full((50, 50, 3), value, np.uint8)))['img']
        assert abs(image.astype(int) - value).max() < 220


def test_noise_depends_on_numpys_seed_alone():
    def noisy(seed):
        np.random.seed(seed)
        return RandomGaussianNoise()(dict(img=np.full((20, 20, 3), 99, np.uint8)))['img']

    first = noisy(3)
    assert not np.array_equal(noisy(4), first)
    np.testing.assert_array_equal(noisy(3), first)


@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_blur_spreads_a_point_as_a_gaussian(dtype, monkeypatch):
    monkeypatch.setattr(np.random, 'uniform', lambda low, high: high)
    image = np.zeros((41, 41, 3), dtype)
    image[20, 20] = 255
    blurred = RandomGaussianBlur(max_sigma=1.5)(dict(img=image.copy()))['img'].astype(np.float64)
    assert blurred.shape == image.shape
    assert abs(blurred[..., 0].sum() - 255) < 8
    spread = np.sqrt(
        (blurred[..., 0].sum(0) * (np.arange(41) - 20) ** 2).sum() / blurred[..., 0].sum()
    )
    assert abs(spread - 1.5) < 0.15


@pytest.mark.parametrize('transform', [RandomGaussianBlur, RandomGaussianNoise])
def test_strength_has_to_be_positive(transform):
    with pytest.raises(ValueError, match='max_sigma'):
        transform(max_sigma=0)
