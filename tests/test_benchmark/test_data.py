import argparse

import pytest
from helpers.prw_files import write_tiny_prw

from mmps.benchmark import data
from mmps.testing.tiny_models import tiny_config
from mmps.utils.errors import UserError


@pytest.fixture
def measure(tmp_path):
    config = tiny_config('ps_densenet121_att_prw.py', write_tiny_prw(tmp_path / 'prw'))
    config.dump(tmp_path / 'tiny.py')
    parser = argparse.ArgumentParser()
    data.add_arguments(parser)

    def run(*words):
        return data.run(parser.parse_args([str(tmp_path / 'tiny.py'), '--images=2', *words]))

    return run


def test_steps_add_up_and_loaders_are_counted(measure):
    found = measure('--workers', '0', '1')
    (total,) = (m.value for m in found if m.name == 'time per image')
    steps = {m.stage: m.value for m in found if m.unit == 'ms'}
    assert sum(steps.values()) == pytest.approx(1000 * total)
    assert {'LoadSceneImage', 'RandomApply(CutOut)', 'PackPersonSearchInputs'} <= steps.keys()
    rates = {(m.stage, m.name): m.value for m in found if m.unit == '/s' and m.stage}
    assert len(rates) == 4 and all(rate > 0 for rate in rates.values())


def test_one_batch_is_too_little_to_measure(measure):
    with pytest.raises(UserError, match='single batch'):
        measure('--workers=0', '--cfg-options', 'train_dataloader.batch_size=4')
