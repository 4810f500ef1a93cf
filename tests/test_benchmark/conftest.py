import pytest


@pytest.fixture
def slim_config(tmp_path):
    """Path of the config of a slim model."""
    # Here, since the process that hands tests out to others loads this file too.
    from mmps.testing.tiny_models import slim_model, small_config

    config = small_config('ps_densenet121_att_prw.py')
    config.model = slim_model()
    config.dump(tmp_path / 'slim.py')
    return str(tmp_path / 'slim.py')
