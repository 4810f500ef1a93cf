import numpy as np
import pytest

from mmps.evaluation.functional.scenes import scene_factors


def test_a_factor_is_the_sigmoid_of_a_cosine():
    # Vectors of one person: product with y is (1, 0, 2) y + 3, square of the length 4 y0^2 + 1.
    filters = np.array([[1, 0, 2, 4, 0, 0, 0, 0, 0, 3, 1]], np.float32)
    scenes = np.array([[0, 1, 0], [1, 0, -1]], np.float32)
    cosines = [3 / 1, (1 - 2 + 3) / np.sqrt(5)]
    np.testing.assert_allclose(
        scene_factors(filters, scenes)[0], 1 / (1 + np.exp(-np.array(cosines)))
    )
    with pytest.raises(ValueError, match='11 values do not fit scenes of 4: 14 expected'):
        scene_factors(filters, np.zeros((1, 4), np.float32))
