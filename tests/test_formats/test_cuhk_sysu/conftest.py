import pytest
from helpers import cuhk_sysu_by_hand


@pytest.fixture
def root(tmp_path):
    """Folder of a data set of a few images."""
    return cuhk_sysu_by_hand.write(tmp_path)
