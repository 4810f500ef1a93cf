import argparse

import numpy as np
import pytest

from mmps.benchmark import gallery
from mmps.retrieval import Gallery


def measure(*options):
    parser = argparse.ArgumentParser()
    gallery.add_arguments(parser)
    sizes = ['--people=5000', '--dim=8', '--batch=3', '--repeats=1']
    return {(m.stage, m.name): m for m in gallery.run(parser.parse_args([*sizes, *options]))}


def test_searches_are_measured_beside_the_product():
    measured = measure('--index')
    for count in ('one query', '3 queries'):
        floor = measured[f'{count}: product and top 20', 'time'].value
        for name in ('', *(f', {name}' for name in gallery.FILTERS)):
            stage = f'{count}: search{name}'
            ratio = measured[stage, 'time'].value / floor
            assert measured[stage, 'of the product'].value == pytest.approx(ratio)
    assert measured['', 'open'].value > 0
    assert 0 < measured['', 'recall of approximate searches'].value <= 1


def test_the_filters_let_pass_what_they_say():
    frames = [
        frame for batch in gallery._frames(5000, gallery._Embeddings(8, None)) for frame in batch
    ]
    made = Gallery.open('memory:', gallery.ModelTag('random', 8, 'random'))
    made.append(frames)
    shares = [
        len(made.search([1] + [0] * 7, 5000, where)[0]) / 5000 for where in gallery.FILTERS.values()
    ]
    assert shares == [0.05, 1.0]


def test_embeddings_of_one_person_are_alike():
    vectors = gallery._Embeddings(256, 2).draw(200)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    similarities = vectors @ vectors.T
    same = similarities > gallery.ALIKE / 2
    people = np.unique(same, axis=0)
    assert len(people) == 2
    assert similarities[same].mean() == pytest.approx(gallery.ALIKE, abs=0.03)
