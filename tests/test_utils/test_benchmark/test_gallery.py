import argparse

import pytest

from mmps.retrieval import Gallery
from mmps.utils.benchmark import gallery


def measure(*options):
    parser = argparse.ArgumentParser()
    gallery.add_arguments(parser)
    sizes = ['--people=5000', '--dim=8', '--batch=3', '--repeats=1']
    return {(m.stage, m.name): m for m in gallery.run(parser.parse_args([*sizes, *options]))}


@pytest.mark.parametrize('engine', ['memory', 'lance'])
def test_searches_are_measured_beside_the_product(engine):
    measured = measure(f'--engine={engine}', *(['--index'] if engine == 'lance' else []))
    for count in ('one query', '3 queries'):
        floor = measured[f'{count}: product and top 20', 'time'].value
        for name in ('', *(f', {name}' for name in gallery.FILTERS)):
            stage = f'{count}: search{name}'
            ratio = measured[stage, 'time'].value / floor
            assert measured[stage, 'of the product'].value == pytest.approx(ratio)
    if engine == 'lance':
        assert measured['', 'open'].value > 0
        assert 0 < measured['', 'recall of approximate searches'].value <= 1


def test_the_filters_let_pass_what_they_say():
    frames = [frame for batch in gallery._frames(5000, 8) for frame in batch]
    made = Gallery.open('memory:', gallery.ModelTag('random', 8, 'random'))
    made.append(frames)
    shares = [
        len(made.search([1] + [0] * 7, 5000, where)[0]) / 5000 for where in gallery.FILTERS.values()
    ]
    assert shares == [0.95, 0.5, 0.05, 1.0]
