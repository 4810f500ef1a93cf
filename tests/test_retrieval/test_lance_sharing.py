"""Several threads and processes at one gallery on disk, some of which are killed."""

import itertools
import random
import re
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
from helpers.galleries import DIM, fill_gallery, model_tag, random_frame
from helpers.gallery_writer import KilledHistory

from mmps.retrieval import Gallery, Where
from mmps.retrieval.engines import lance

QUERY = np.eye(DIM, dtype=np.float32)[:2]


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


def test_many_readers_and_a_writer(folder, monkeypatch):
    monkeypatch.setattr(lance, 'CACHED', 0)
    monkeypatch.setattr(lance, 'VERSIONS', 4)
    gallery = fill_gallery(folder)
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
    gallery = fill_gallery(folder)
    rng = np.random.default_rng(3)
    Gallery.open(folder).append([random_frame(rng, 'late', 1, DIM)])
    late = gallery.search(QUERY[0], 1, Where(sources=['late']))[0][0]
    assert late.source == 'late' and ('late', 0) in gallery.known()


def test_the_lock_outlives_nobody(folder):
    fill_gallery(folder, 1)
    log = (folder / 'mmps_seals.txt').read_text()
    assert re.search(r'^end ', log.splitlines()[-1])
    with open(folder / 'mmps_seals.txt', 'a') as file:
        file.write('begin 7a8595')  # killed while it wrote
    fill_gallery(folder, 1, seed=1)
    assert len(Gallery.open(folder)) == 15
