import random

import numpy as np
import pytest
from helpers.galleries import DIM, damages, described, fill_gallery, random_frame

from mmps.retrieval import Gallery
from mmps.retrieval.engines import lance, matrix_cache

QUERY = np.eye(DIM, dtype=np.float32)[:2]


def test_the_mapped_matrix_follows_the_table(folder, monkeypatch):
    fill_gallery(folder)
    right = Gallery.open(folder).search(QUERY, 100)
    monkeypatch.setattr(lance, 'CACHED', 0)
    gallery = Gallery.open(folder)
    assert gallery.search(QUERY, 100) == right
    (matrix,) = folder.glob('mmps_cache/*.embeddings')
    assert matrix.stat().st_size == 60 * DIM * 4
    rng = np.random.default_rng(3)
    gallery.append([random_frame(rng, 'late', 2, DIM)])
    gallery.search(QUERY)
    assert matrix.stat().st_size == 62 * DIM * 4  # only what is new was added
    gallery.delete_source('secret0.mp4')
    hits = gallery.search(QUERY, 100)
    (other,) = folder.glob('mmps_cache/*.embeddings')
    assert other != matrix and other.stat().st_size == 47 * DIM * 4
    monkeypatch.setattr(lance, 'CACHED', 2**40)
    assert Gallery.open(folder).search(QUERY, 100) == hits


@pytest.mark.parametrize('suffix', ['ids', 'embeddings', 'json'])
def test_a_damaged_matrix_is_made_again(folder, monkeypatch, suffix):
    monkeypatch.setattr(lance, 'CACHED', 0)
    right = fill_gallery(folder).search(QUERY, 100)
    for damage in damages(next(folder.glob(f'mmps_cache/*.{suffix}')), random.Random(0)):
        path = next(folder.glob(f'mmps_cache/*.{suffix}'))
        path.unlink() if damage is None else path.write_bytes(damage)
        assert Gallery.open(folder).search(QUERY, 100) == right


def test_a_killed_writer_of_the_matrix(folder, monkeypatch):
    monkeypatch.setattr(lance, 'CACHED', 0)
    gallery = fill_gallery(folder)
    gallery.search(QUERY)
    gallery.append([random_frame(np.random.default_rng(3), 'late', 2, DIM)])
    with monkeypatch.context() as patch:
        patch.setattr(matrix_cache, 'write_json', lambda *_: None)
        Gallery.open(folder).search(QUERY)
    assert described(Gallery.open(folder).search(QUERY[0], 100)[0]) == described(
        gallery.search(QUERY[0], 100)[0]
    )
