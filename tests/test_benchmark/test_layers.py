import argparse

from mmps.benchmark import layers
from mmps.models.layers.fast import FORMS


def test_each_form_is_turned_off_in_training_and_prediction(slim_config):
    parser = argparse.ArgumentParser()
    layers.add_arguments(parser)
    measured = layers.run(parser.parse_args([str(slim_config), '--size=128x96', '--repeats=1']))
    assert [m.unit for m in measured if not m.stage] == ['s', 's']
    ratios = [m for m in measured if m.stage]
    assert {m.stage for m in ratios} == {'all', *FORMS} and len(ratios) == 2 * (1 + len(FORMS))
    assert all(m.value > 0 for m in measured)
