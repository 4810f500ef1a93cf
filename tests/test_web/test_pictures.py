import numpy as np

from mmps.web.pictures import cut_out


def test_a_person_with_surroundings():
    image = np.arange(100 * 80 * 3, dtype=np.uint32).reshape(100, 80, 3).astype(np.uint8)
    cut, bbox = cut_out(image, (20, 30, 40, 50))
    np.testing.assert_array_equal(cut, image[18:62, 8:52])  # 0.6 times 20 on each side
    np.testing.assert_array_equal(bbox, [12, 12, 32, 32])
    cut, bbox = cut_out(image, (0, 0, 40, 100))
    np.testing.assert_array_equal(cut, image[:, :64])
    np.testing.assert_array_equal(bbox, [0, 0, 40, 100])


def test_large_people_are_kept_small():
    cut, bbox = cut_out(np.zeros((3000, 2000, 3), np.uint8), (500, 500, 1000, 1500))
    # 1100 x 2100 pixels with the surroundings that there are
    assert cut.shape == (400, 210, 3) and cut.base is None
    np.testing.assert_allclose(bbox, np.array([300, 500, 800, 1500]) * 400 / 2100, atol=0.5)
