"""What galleries on disk have to withstand."""

import itertools
import os
import random
import re
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from mmps.retrieval import (
    DamagedGalleryError,
    Gallery,
    GalleryError,
    ModelMismatchError,
    Where,
)
from mmps.retrieval.engines import lance, matrix_cache
from mmps.testing.galleries import described, model_tag, random_frame
from mmps.testing.gallery_writer import KilledHistory

DIM = 16
QUERY = np.eye(DIM, dtype=np.float32)[:2]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / 'people.lance'


def fill(folder, sources=4, people=5, seed=0):
    gallery = Gallery.open(folder, model_tag(DIM))
    rng = np.random.default_rng(seed)
    for number in range(sources):
        frames = [
            random_frame(rng, f'secret{number}.mp4', people, DIM, frame=f, time=float(number))
            for f in range(3)
        ]
        gallery.append(frames)
    return gallery


def files(folder):
    return sorted(path for path in folder.rglob('*') if path.is_file())


def bytes_of(folder):
    return b''.join(path.read_bytes() for path in files(folder))


def answers(folder):
    gallery = Gallery.open(folder)
    return gallery.search(QUERY, 100), gallery.known(), gallery.model


def test_another_model_is_refused(folder):
    fill(folder, 1)
    with pytest.raises(
        ModelMismatchError, match=r'was made by model abc \(abc, 16-d\), but this is'
    ):
        Gallery.open(folder, model_tag(DIM, 'def'))
    with pytest.raises(ModelMismatchError, match='17-d'):
        Gallery.open(folder, model_tag(17))
    assert Gallery.open(folder).model == model_tag(DIM)


def test_a_missing_gallery_is_not_made_by_looking_for_it(folder):
    for options in ({}, {'model': model_tag(DIM), 'create': False}):
        with pytest.raises(GalleryError, match='there is no gallery'):
            Gallery.open(folder, **options)
    assert not folder.parent.exists() or not any(folder.parent.iterdir())


def test_a_folder_holds_a_table(tmp_path):
    fill(tmp_path / 'somewhere', 1)
    assert (tmp_path / 'somewhere/people.lance').is_dir()
    assert len(Gallery.open(str(tmp_path / 'somewhere') + '/')) == 15


def damages(path, rng):
    """A flipped bit, a shorter file, an empty one, none."""
    raw = path.read_bytes()
    place, bit = rng.randrange(len(raw)), rng.randrange(8)
    flipped = bytearray(raw)
    flipped[place] ^= 1 << bit
    yield bytes(flipped)
    yield raw[: rng.randrange(len(raw))]
    yield b''
    yield None


def test_damage_of_any_file_is_refused_with_its_name_or_does_not_matter(folder, monkeypatch):
    monkeypatch.setattr(lance, 'CACHED', 0)
    gallery = fill(folder)
    gallery.delete_source('secret2.mp4')
    gallery.build_index()
    fresh = np.random.default_rng(5)
    gallery.append([random_frame(fresh, name, 2, DIM) for name in ('secret1.mp4', 'more.jpg')])
    right = answers(folder)
    rng = random.Random(0)
    refused = set()
    kinds = {
        path.name if path.suffix == '.json' else path.relative_to(folder).parts[0]: path
        for path in files(folder)
    }
    for kind in sorted(kinds.keys() - {'mmps_cache', 'mmps_lock', 'current.json'}):
        raw = kinds[kind].read_bytes()
        for damaged in damages(kinds[kind], rng):
            kinds[kind].unlink() if damaged is None else kinds[kind].write_bytes(damaged)
            try:
                assert answers(folder) == right, kind
            except DamagedGalleryError as error:
                assert str(kinds[kind]) in str(error)
                refused.add(kind)
        kinds[kind].write_bytes(raw)
    assert answers(folder) == right
    assert 'latest_version_hint.json' in kinds
    assert refused == {
        '_deletions',
        '_indices',
        '_transactions',
        '_versions',
        'data',
        'mmps_seals.txt',
    }


def test_a_damaged_gallery_is_not_changed_either(folder):
    gallery = fill(folder)
    max(folder.glob('data/*'), key=os.path.getmtime).unlink()
    with pytest.raises(DamagedGalleryError, match='missing; restore it'):
        gallery.append([random_frame(np.random.default_rng(0), 'x', 1, DIM)])
    with pytest.raises(DamagedGalleryError, match='missing; restore it'):
        gallery.compact()


def test_a_table_that_is_no_gallery(folder):
    import lancedb

    lancedb.connect(folder.parent).create_table('people', [{'a': 1}])
    with pytest.raises(DamagedGalleryError, match='mmps_seals.txt: missing'):
        Gallery.open(folder, model_tag(DIM))


@pytest.mark.parametrize('by', ['source', 'id', 'replacement', 'update'])
def test_what_was_deleted_is_gone_from_disk_after_compaction(folder, by, monkeypatch):
    monkeypatch.setattr(lance, 'CACHED', 0)
    gallery = fill(folder)
    gallery.update(Where(sources=['secret1.mp4']), camera='hidden camera')
    gallery.build_index()
    hits = gallery.search(QUERY[0], 15, Where(sources=['secret1.mp4']))[0]
    vectors = [row.tobytes() for row in gallery.embeddings_of([hit.id for hit in hits])]
    assert all(vector in bytes_of(folder) for vector in vectors)
    if by == 'source':
        gallery.delete_source('secret1.mp4')
    elif by == 'id':
        gallery.delete([hit.id for hit in hits])
    elif by == 'update':
        gallery.update(Where(), camera='other')
    else:
        fresh = np.random.default_rng(9)
        gallery.append([random_frame(fresh, 'secret1.mp4', 1, DIM, frame=f) for f in range(3)])
    gallery.search(QUERY)
    gallery.compact()
    left = bytes_of(folder)
    assert (b'hidden camera' in left) == (by == 'id')  # whose frames stay known
    assert not any(vector in left for vector in vectors) or by == 'update'
    assert (b'secret1' in left) == (by != 'source')
    assert len(list(folder.glob('_versions/*.manifest'))) <= 2  # the last one, and its index
    assert gallery.recall(5, 5) > 0


def test_dropped_is_gone(folder):
    fill(folder).drop()
    assert not folder.exists()
    with pytest.raises(GalleryError, match='no gallery'):
        Gallery.open(folder)


def test_kills_at_random_moments(folder):
    killed = KilledHistory(str(folder))
    rng = random.Random(0)
    for seed in range(2):
        killed.kill(rng.uniform(0, 0.6), seed)
    assert killed.sources


def _append(folder, worker):
    gallery = Gallery.open(folder, model_tag(DIM))
    for number in range(6):
        rng = np.random.default_rng([worker, number])
        own = random_frame(rng, f'own{worker}', 2, DIM, frame=number)
        gallery.append([own, random_frame(rng, 'shared', worker + 1, DIM, frame=number)])
    return len(gallery.known())


def test_processes_that_append_at_once(folder):
    with ProcessPoolExecutor(2, get_context('spawn')) as pool:
        list(pool.map(_append, itertools.repeat(str(folder)), range(2)))
    gallery = Gallery.open(folder)
    assert len(gallery.known()) == 2 * 6 + 6
    for worker in range(2):
        assert len(gallery.search(QUERY[0], 99, Where(sources=[f'own{worker}']))[0]) == 12
    shared = gallery.search(QUERY[0], 99, Where(sources=['shared']))[0]
    per_frame = [sum(hit.frame == frame for hit in shared) for frame in range(6)]
    assert set(per_frame) <= {1, 2}  # of one of the processes, never of both


def test_what_the_engine_remembers_is_bounded(folder, monkeypatch):
    monkeypatch.setattr(lance, 'CACHES', dict.fromkeys(lance.CACHES, 2**16))
    gallery, rng = Gallery.open(folder, model_tag(DIM)), np.random.default_rng(0)
    for number in range(60):
        gallery.append([random_frame(rng, f'{number}', 1, DIM)])
    assert 0 < gallery._engine._session.size_bytes <= 2 * 2**16


def test_many_readers_and_a_writer(folder, monkeypatch):
    monkeypatch.setattr(lance, 'CACHED', 0)
    monkeypatch.setattr(lance, 'VERSIONS', 4)
    gallery = fill(folder)
    fixed = Where(until=3.0)
    right = gallery.search(QUERY, 10, fixed)
    stop = threading.Event()

    def write():
        rng = np.random.default_rng(1)
        for number in range(12):
            gallery.append([random_frame(rng, f'new{number}', 2, DIM, time=9.0)])
            gallery.delete_source(f'new{number - 2}')
        stop.set()

    def read(_):
        count = 0
        while not stop.is_set() or not count:
            assert gallery.search(QUERY, 10, fixed) == right
            count += 1
        return count

    with ThreadPoolExecutor(9) as pool:
        writer = pool.submit(write)
        assert all(pool.map(read, range(8)))
        writer.result()
    assert len(gallery) == 4 * 15 + 2 * 2


def test_an_open_gallery_sees_what_others_append(folder):
    gallery = fill(folder)
    rng = np.random.default_rng(3)
    Gallery.open(folder).append([random_frame(rng, 'late', 1, DIM)])
    late = gallery.search(QUERY[0], 1, Where(sources=['late']))[0][0]
    assert late.source == 'late' and ('late', 0) in gallery.known()


def test_the_mapped_matrix_follows_the_table(folder, monkeypatch):
    fill(folder)
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
    right = fill(folder).search(QUERY, 100)
    for damage in damages(next(folder.glob(f'mmps_cache/*.{suffix}')), random.Random(0)):
        path = next(folder.glob(f'mmps_cache/*.{suffix}'))
        path.unlink() if damage is None else path.write_bytes(damage)
        assert Gallery.open(folder).search(QUERY, 100) == right


def test_a_killed_writer_of_the_matrix(folder, monkeypatch):
    monkeypatch.setattr(lance, 'CACHED', 0)
    gallery = fill(folder)
    gallery.search(QUERY)
    gallery.append([random_frame(np.random.default_rng(3), 'late', 2, DIM)])
    with monkeypatch.context() as patch:
        patch.setattr(matrix_cache, 'write_json', lambda *_: None)
        Gallery.open(folder).search(QUERY)
    assert described(Gallery.open(folder).search(QUERY[0], 100)[0]) == described(
        gallery.search(QUERY[0], 100)[0]
    )


def test_the_table_compacts_itself(folder, monkeypatch):
    monkeypatch.setattr(lance, 'VERSIONS', 5)
    gallery = fill(folder, 12)
    assert len(list(folder.glob('data/*'))) <= 5
    assert len(gallery) == 12 * 15


def test_the_lock_outlives_nobody(folder):
    fill(folder, 1)
    log = (folder / 'mmps_seals.txt').read_text()
    assert re.search(r'^end ', log.splitlines()[-1])
    with open(folder / 'mmps_seals.txt', 'a') as file:
        file.write('begin 7a8595')  # killed while it wrote
    fill(folder, 1, seed=1)
    assert len(Gallery.open(folder)) == 15


def test_no_lancedb(folder, monkeypatch):
    import sys

    from mmps.utils.cli import UserError

    monkeypatch.setitem(sys.modules, 'lancedb', None)
    with pytest.raises(UserError, match=r"lancedb is not installed: pip install 'mmps\[gallery\]'"):
        Gallery.open(folder, model_tag(DIM))
    assert Path(folder).parent.exists()
