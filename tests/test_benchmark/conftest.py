import pytest

from mmps.testing.tiny_models import slim_model, small_config


@pytest.fixture
def slim_config(tmp_path):
    """Path of the config of a slim model."""
    config = small_config('ps_densenet121_att_prw.py')
    config.model = slim_model()
    config.dump(tmp_path / 'slim.py')
    return str(tmp_path / 'slim.py')
