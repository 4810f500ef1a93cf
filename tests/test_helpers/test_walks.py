import numpy as np
import pytest
from helpers.walks import grouped


def test_purity_and_completeness_by_hand():
    whose = np.array([1, 1, 1, 1, 2, 2, 2, -1, 3, 3])
    groups = np.array([0, 0, 0, 1, 0, 2, 2, 2, -1, 1])
    # groups 0 (1, 1, 1, 2) and 2 (2, 2, nobody) count; group 1 is too small, and so is person 3
    assert grouped(groups, whose) == (2, 7, pytest.approx(5 / 7), pytest.approx(5 / 7))
    assert grouped(np.zeros(10, int), whose) == (1, 10, pytest.approx(0.4), 1.0)
