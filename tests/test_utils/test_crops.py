import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmps.utils.crops import cut_people


def noise(width, height, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_a_box_of_the_size_of_the_crop_is_its_pixels():
    image = noise(50, 40)
    (crop,) = cut_people(image, np.array([[10.0, 5.0, 26.0, 37.0]]), (16, 32))
    np.testing.assert_array_equal(crop, image[5:37, 10:26])


def test_half_a_pixel_further_is_the_mean_of_two():
    image = noise(50, 40)
    (crop,) = cut_people(image, np.array([[10.5, 5.0, 26.5, 37.0]]), (16, 32))
    two = image[5:37, 10:27].astype(int)
    assert np.abs(crop - (two[:, :-1] + two[:, 1:]) / 2).max() <= 1


@given(
    st.integers(0, 30),
    st.integers(0, 20),
    st.integers(6, 20),
    st.integers(6, 20),
    st.integers(0, 9),
)
def test_boxes_at_whole_pixels_are_resized_as_opencv_does(x, y, width, height, seed):
    image = noise(60, 50, seed)
    (crop,) = cut_people(image, np.array([[x, y, x + width, y + height]]), (32, 48))
    wanted = cv2.resize(image[y : y + height, x : x + width], (32, 48)).astype(int)
    inner = slice(8, -8)  # at the rim we see what is beyond the box, and OpenCV does not
    # OpenCV rounds places to 1/32 of a pixel here, and does not there.
    assert np.abs(crop[inner, inner] - wanted[inner, inner]).max() <= 8 + 255 / 16


def test_boxes_are_clipped_to_the_image():
    image = noise(50, 40)
    outside = np.array([[-20.0, -10.0, 30.0, 30.0], [40, 30, 70, 90]])
    inside = np.array([[0.0, 0.0, 30.0, 30.0], [40, 30, 50, 40]])
    np.testing.assert_array_equal(cut_people(image, outside), cut_people(image, inside))


@pytest.mark.parametrize('box', [[5, 5, 5, 5], [80, 90, 95, 99], [-9, -9, -3, -2]])
def test_a_box_without_area_does_no_harm(box):
    assert cut_people(noise(50, 40), np.array([box], float)).shape == (1, 256, 128, 3)


def test_nobody():
    assert cut_people(noise(50, 40), np.zeros((0, 4)), (16, 32)).shape == (0, 32, 16, 3)


def test_a_small_change_of_a_box_changes_little():
    image = cv2.GaussianBlur(noise(50, 40), (0, 0), 3)
    box = np.array([[10.0, 5.0, 26.0, 37.0]])
    one, other = (cut_people(image, box + shift).astype(int) for shift in (-1e-5, 1e-5))
    assert np.abs(one - other).max() <= 2
