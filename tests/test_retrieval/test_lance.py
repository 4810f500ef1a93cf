"""What galleries on disk have to withstand."""

import itertools
import random
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import timedelta
from multiprocessing import get_context

import numpy as np
import pytest
from helpers.galleries import (
    DIM,
    GalleryOracle,
    damages,
    described,
    fill_gallery,
    model_tag,
    random_frame,
)
from helpers.gallery_writer import KilledHistory

from mmps.retrieval import (
    DamagedGalleryError,
    Gallery,
    GalleryError,
    ModelMismatchError,
    Where,
    lance,
)
from mmps.utils.errors import UserError

QUERY = np.eye(DIM, dtype=np.float32)[:2]


@pytest.fixture(params=['lance', 'store'])
def any_address(request, folder):
    """A folder, and the same as the address of an object store, which nobody can lock."""
    return str(folder) if request.param == 'lance' else f'file://{folder}'


def bytes_of(folder):
    return b''.join(path.read_bytes() for path in folder.rglob('*') if path.is_file())


def answers(folder):
    gallery = Gallery.open(folder)
    return gallery.search(QUERY, 100), gallery.known(), gallery.model


def test_another_model_is_refused(folder):
    fill_gallery(folder, 1)
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
    fill_gallery(tmp_path / 'somewhere', 1)
    assert (tmp_path / 'somewhere/people.lance').is_dir()
    assert len(Gallery.open(str(tmp_path / 'somewhere') + '/')) == 15


def test_damage_of_a_data_file_is_refused_or_does_not_matter(folder):
    gallery = fill_gallery(folder)
    gallery.append([random_frame(np.random.default_rng(5), 'secret1.mp4', 2, DIM)])
    right = answers(folder)
    rng = random.Random(0)
    refused = 0
    for path in sorted(folder.glob('data/*')):
        raw = path.read_bytes()
        for damaged in itertools.chain(*(damages(path, rng) for _ in range(3))):
            path.unlink() if damaged is None else path.write_bytes(damaged)
            try:
                assert answers(folder) == right
            except DamagedGalleryError as error:
                assert str(folder) in str(error) and 'restore the gallery' in str(error)
                refused += 1
            path.write_bytes(raw)
    assert answers(folder) == right
    assert refused >= 40


def test_a_damaged_list_of_deleted_rows_is_refused_before_lance_reads_it(folder):
    gallery = fill_gallery(folder)
    gallery.delete([hit.id for hit in gallery.search(QUERY[0], 60)[0][::3]])
    right, rng = answers(folder), random.Random(0)
    (path, *_) = folder.glob('_deletions/*')
    raw = path.read_bytes()
    for damaged in itertools.chain(*(itertools.islice(damages(path, rng), 3) for _ in range(10))):
        path.write_bytes(damaged)
        for read in (len, lambda _: gallery.delete_source('a'), lambda _: Gallery.open(folder)):
            with pytest.raises(DamagedGalleryError, match=f'{path.name}: this list of deleted'):
                read(gallery)
        path.write_bytes(raw)
    assert answers(folder) == right


def test_of_a_file_that_lance_refuses_the_sources_are_named(folder):
    fill_gallery(folder, 3)
    path = next(folder.glob('data/*'))
    raw = path.read_bytes()
    source = next(n for n in range(3) if b'secret%d' % n in raw)
    named = 0
    for place in range(raw.rfind(b'secret') + 16, raw.rfind(b'secret') + 512, 16):
        damaged = bytearray(raw)  # in the columns behind the sources
        damaged[place : place + 8] = (255 - byte for byte in raw[place : place + 8])
        path.write_bytes(damaged)
        try:
            Gallery.open(folder).search(QUERY)
        except DamagedGalleryError as error:
            if 'rows are not what was written' not in str(error):
                named += f"among rows of 1 sources: 'secret{source}.mp4'" in str(error)
    assert named


@pytest.mark.parametrize('address', ['lance', 'store'])
def test_a_changed_embedding_is_named_by_its_source_and_row(folder, address):
    gallery = fill_gallery(folder)
    (hit,) = gallery.search(QUERY[0], 1)[0]
    raw = bytearray()
    for path in folder.glob('data/*'):
        raw = bytearray(path.read_bytes())
        place = raw.find(gallery.embeddings_of([hit.id]).tobytes())
        if place >= 0:
            break
    raw[place + 7] ^= 1
    path.write_bytes(raw)
    opened = Gallery.open(folder if address == 'lance' else f'file://{folder}')
    row = rf"'{hit.source}', frame {hit.frame}, person \d \(id {hit.id}\); restore"
    for read in (
        lambda: opened.search(QUERY, 3),
        lambda: opened.embeddings_of([hit.id]),
        lambda: opened.update(Where(sources=[hit.source]), camera='x'),
    ):
        with pytest.raises(DamagedGalleryError, match=f'1 rows are not what was written.*{row}'):
            read()


def test_a_table_that_is_no_gallery_or_of_an_earlier_version(folder):
    import lancedb

    lancedb.connect(folder.parent).create_table('people', [{'a': 1}])
    with pytest.raises(GalleryError, match='no gallery of mmps, or .* earlier version; index ag'):
        Gallery.open(folder, model_tag(DIM))


@pytest.mark.parametrize('by', ['source', 'id', 'few', 'replacement', 'update'])
def test_what_was_deleted_is_gone_from_disk_after_compaction(folder, by):
    gallery = fill_gallery(folder, people=50 if by == 'few' else 5)
    gallery.update(Where(sources=['secret1.mp4']), camera='hidden camera')
    gallery.build_index()
    gallery.compact()
    hits = gallery.search(QUERY[0], 15, Where(sources=['secret1.mp4']))[0]
    vectors = [row.tobytes() for row in gallery.embeddings_of([hit.id for hit in hits])]
    assert all(vector in bytes_of(folder) for vector in vectors)
    if by == 'source':
        gallery.delete_source('secret1.mp4')
    elif by in ('id', 'few'):
        gallery.delete([hit.id for hit in hits])
    elif by == 'update':
        gallery.update(Where(), camera='other')
    else:
        fresh = np.random.default_rng(9)
        gallery.append([random_frame(fresh, 'secret1.mp4', 1, DIM, frame=f) for f in range(3)])
    gallery.search(QUERY)
    gallery.compact()
    left = bytes_of(folder)
    assert (b'hidden camera' in left) == (by in ('id', 'few'))  # whose frames stay known
    assert not any(vector in left for vector in vectors) or by == 'update'
    assert b'secret1' not in left or by != 'source'
    assert len(list(folder.glob('_versions/*.manifest'))) <= 2  # the last one, and its index
    assert gallery.recall(5, 5) > 0


@pytest.mark.parametrize('in_use', [timedelta(0), lance.IN_USE])
@pytest.mark.filterwarnings('ignore:optimize')
def test_compaction_of_a_store_erases_what_was_replaced_long_enough_ago(
    folder, in_use, monkeypatch
):
    monkeypatch.setattr(lance, 'IN_USE', in_use)
    gallery = fill_gallery(f'file://{folder}')
    people = [hit.id for hit in gallery.search(QUERY[0], 99, Where(sources=['secret1.mp4']))[0]]
    vectors = [row.tobytes() for row in gallery.embeddings_of(people)]
    gallery.delete_source('secret1.mp4')
    kept = gallery.search(QUERY, 99)
    assert all(vector in bytes_of(folder) for vector in vectors)
    assert gallery.compact() == f'what was deleted less than {in_use} ago is left until later'
    left = bytes_of(folder)
    assert [vector in left for vector in vectors] == [in_use > timedelta(0)] * len(vectors)
    assert (b'secret1' in left) == (in_use > timedelta(0))
    assert Gallery.open(f'file://{folder}').search(QUERY, 99) == kept


def test_dropped_is_gone(any_address, folder):
    fill_gallery(any_address).drop()
    assert not folder.exists() or not bytes_of(folder)
    with pytest.raises(GalleryError, match='no gallery'):
        Gallery.open(any_address)


def test_what_the_engine_remembers_is_bounded(folder, monkeypatch):
    monkeypatch.setattr(lance, 'SESSION', dict.fromkeys(lance.SESSION, 2**16))
    gallery, rng = Gallery.open(folder, model_tag(DIM)), np.random.default_rng(0)
    for number in range(60):
        gallery.append([random_frame(rng, f'{number}', 1, DIM)])
    assert 0 < gallery._engine._session.size_bytes <= 2 * 2**16


def test_the_table_compacts_itself(any_address, folder, monkeypatch):
    monkeypatch.setattr(lance, 'CHANGES', 5)
    monkeypatch.setattr(lance, 'IN_USE', timedelta(0))
    gallery = fill_gallery(any_address, 12)
    assert len(list(folder.glob('data/*'))) <= 5
    assert len(gallery) == 12 * 15


def test_a_change_that_is_made_does_not_fail_because_compacting_does(folder, monkeypatch):
    monkeypatch.setattr(lance, 'CHANGES', 1)
    gallery = fill_gallery(folder, 1)

    def fail(engine):
        raise OSError('No space left on device')

    monkeypatch.setattr(lance.LanceEngine, '_optimize', fail)
    gallery.append([random_frame(np.random.default_rng(0), 'late', 1, DIM)])
    assert len(Gallery.open(folder)) == 16
    with pytest.raises(DamagedGalleryError, match='No space left'):
        gallery.compact()


def test_compacting_a_store_that_others_change_is_tried_again(folder, monkeypatch):
    gallery = fill_gallery(f'file://{folder}', 1)
    table, tried = gallery._engine._table, []
    optimize = table.optimize

    def interrupted(**options):
        tried.append(options)
        if len(tried) < 3:
            raise RuntimeError(
                'lance error: Retryable commit conflict for version 9. Please retry.'
            )
        optimize(**options)

    monkeypatch.setattr(table, 'optimize', interrupted)
    assert 'left until later' in gallery.compact() and len(tried) == 3
    assert len(Gallery.open(f'file://{folder}')) == 15


def test_no_lancedb(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, 'lancedb', None)
    with pytest.raises(UserError, match=r"lancedb is not installed: pip install 'mmps\[gallery\]'"):
        Gallery.open(folder, model_tag(DIM))


def test_a_store_that_does_not_answer(monkeypatch):
    for name in ('ACCESS_KEY_ID', 'SECRET_ACCESS_KEY', 'REGION'):
        monkeypatch.setenv(f'AWS_{name}', 'a')
    monkeypatch.setenv('AWS_ALLOW_HTTP', 'true')
    monkeypatch.setenv('AWS_ENDPOINT', 'http://127.0.0.1:1')
    with pytest.raises(GalleryError, match=r'^s3://galleries/people\.lance: Connection refused$'):
        Gallery.open('s3://galleries/people.lance', model_tag(DIM))


def test_kills_at_random_moments(any_address):
    killed = KilledHistory(any_address, writers=2)
    rng = random.Random(0)
    for seed in range(2):
        killed.kill(rng.uniform(0.2, 0.8), seed)
    assert killed.sources


def _frames_of(worker, number):
    rng = np.random.default_rng([worker, number])
    own = random_frame(rng, f'own{worker}', 2, DIM, frame=number)
    return own, random_frame(rng, 'shared', worker + 1, DIM, frame=number)


def _append(address, worker):
    gallery = Gallery.open(address, model_tag(DIM))
    for number in range(6):
        gallery.append(_frames_of(worker, number))
        if worker:
            gallery.compact()


def test_processes_that_append_and_compact_at_once(any_address):
    with ProcessPoolExecutor(2, get_context('spawn')) as pool:
        list(pool.map(_append, itertools.repeat(any_address), range(2)))
    gallery = Gallery.open(any_address)
    assert len(gallery.known()) == 2 * 6 + 6
    for frame in range(6):
        for worker in range(2):
            assert len(gallery.people_in(f'own{worker}', frame)) == 2
        here = {hit.bbox for hit in gallery.people_in('shared', frame)}
        written = [_frames_of(worker, frame)[1].bboxes.tolist() for worker in range(2)]
        assert here in [set(map(tuple, boxes)) for boxes in written]  # of one, never of both


def test_many_readers_and_a_writer(folder, monkeypatch):
    monkeypatch.setattr(lance, 'CHANGES', 4)
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


def contents(some):
    """Everything that counts in a snapshot, by the ids of the rows."""
    rows = some.rows.to_pylist()
    matrix = some.embeddings if some.embeddings is not None else [[]] * len(rows)
    pairs = zip(rows, matrix, some.alive, strict=True)
    found = {row['id']: (row, tuple(vector)) for row, vector, counts in pairs if counts}
    assert len(found) == np.count_nonzero(some.alive)
    return found


@pytest.mark.parametrize('batch', [4, 2**14])
def test_a_snapshot_follows_changes_as_if_all_were_read_again(any_address, batch, monkeypatch):
    """With few rows to a batch, much has changed early, and everything is read again."""
    monkeypatch.setattr(lance, 'BATCH', batch)
    gallery, writer = (Gallery.open(any_address, model_tag(DIM)) for _ in range(2))
    rng, read = np.random.default_rng(0), 0
    engine, read_all = gallery._engine, lance._read_all

    def counted(*arguments, **options):
        nonlocal read
        read += 1
        return read_all(*arguments, **options)

    monkeypatch.setattr(lance, '_read_all', counted)
    for step in range(25):
        frame, people = int(rng.integers(6)), int(rng.integers(4))
        kind = ['append', 'replace', 'delete', 'compact', 'describe'][step % 5 if step < 5 else
                int(rng.choice(5, p=[0.4, 0.2, 0.2, 0.1, 0.1]))]  # fmt: skip
        if kind == 'append':
            writer.append([random_frame(rng, f'v{step}', people, DIM, frame=f) for f in range(6)])
        elif kind == 'replace':
            writer.append([random_frame(rng, 'v0', people, DIM, frame=frame)])
        elif kind == 'delete':
            writer.delete(Where(sources=[f'v{rng.integers(step)}']))
        elif kind == 'compact':
            writer.compact()
        else:
            writer.update(Where(sources=['v0']), camera=f'c{step}')
        embeddings = bool(step % 3)
        table = engine._reading(lambda table: table)
        latest = engine.snapshot(embeddings=embeddings)
        has = latest.embeddings is not None
        anew = read_all(table, engine.address, embeddings=has)
        assert contents(latest) == contents(anew)
    assert read <= 4 if batch > 4 else read > 4  # each of the two without embeddings, and with


def test_an_open_gallery_sees_what_others_append(any_address):
    gallery = fill_gallery(any_address)
    rng = np.random.default_rng(3)
    Gallery.open(any_address).append([random_frame(rng, 'late', 1, DIM)])
    late = gallery.search(QUERY[0], 1, Where(sources=['late']))[0][0]
    assert late.source == 'late' and ('late', 0) in gallery.known()


@pytest.fixture
def indexed(folder, monkeypatch):
    """A gallery of 2,000 people with an index of 50 cells, of which a search looks into five, and
    brute force, after changes of every kind since the index was made.
    """
    monkeypatch.setattr(lance, 'ROWS_PER_CELL', 40)
    monkeypatch.setattr(lance, 'PROBED', (1, 0.1))
    monkeypatch.setattr(lance, 'SPARE', 2)
    monkeypatch.setattr(lance, 'REFINED', 2)
    monkeypatch.setattr(lance, 'CHANGES', 4)  # so that the index takes some of them up
    rng, gallery, oracle = np.random.default_rng(3), Gallery.open(folder, model_tag(DIM)), None
    frames = [
        random_frame(
            rng, f'{n % 5}.mp4', 50 * (n < 40), DIM,
            frame=n, offset=n / 5, time=float(n), camera=str(n % 3),
            tracklets=1 + np.arange(50 * (n < 40)) + 50 * (n % 5),
        )
        for n in range(45)
    ]  # fmt: skip
    gallery.append(frames)
    gallery.build_index()
    oracle = GalleryOracle()
    oracle.append(frames)
    gone = gallery.embeddings_of([hit.id for hit in gallery.people_in('1.mp4', 1)[:9]])
    gallery.delete([hit.id for hit in gallery.people_in('1.mp4', 1)[:9]])
    oracle.delete_people([('1.mp4', 1, number) for number in range(9)])
    for where in (Where(sources=['2.mp4']), Where(until=3.0)):
        gallery.delete(where)
        oracle.delete(where)
    replaced = [frames[8], random_frame(rng, '3.mp4', 30, DIM, frame=8, time=8.0, camera='1')]
    fresh = random_frame(rng, 'new.jpg', 25, DIM, time=50.0, camera='9')
    for some in ([replaced[1]], [fresh]):
        gallery.append(some)
        oracle.append(some)
    gallery.update(Where(sources=['4.mp4']), camera='moved')
    oracle.update(Where(sources=['4.mp4']), 'moved', {})
    return folder, oracle, np.concatenate([gone, frames[7].embeddings[:9], replaced[0].embeddings])


def test_an_index_finds_only_what_is_there_and_passes_the_filter(indexed):
    folder, oracle, gone = indexed
    gallery, there = Gallery.open(folder), oracle.frames['new.jpg', 0][0].embeddings
    kept = oracle.frames['0.mp4', 10][0].embeddings
    filters = (
        None,
        *(Where(cameras=[one]) for one in ('1', 'moved', '9', 'nowhere')),
        Where(since=20.0, until=33.5, sources=['0.mp4', '1.mp4']),
    )
    for again in range(2):
        for where in filters:
            queries = np.concatenate([gone[::9], there[:3], kept[:3]])
            found = gallery.search(queries, 15, where, approximate=True)
            held = gallery._engine._snapshot
            assert held is None or held.embeddings is None  # nothing else was read
            for query, hits in zip(queries, found, strict=True):
                truth = [person[:3] for person in oracle.search(query, 10**6, where)]
                places = [truth.index(person) for person in described(hits)]
                assert places == sorted(set(places))
                assert len(hits) == min(15, len(truth))
        for vectors in (there, kept):  # each finds itself
            found = gallery.search(vectors, 1, approximate=True)
            assert [hits[0].similarity for hits in found] == pytest.approx([1.0] * len(vectors))
        assert 0.5 < gallery.recall(600, 50) < 1
        if not again:
            gallery.compact()


def test_what_an_index_finds_is_looked_up_without_reading_everything(indexed):
    folder, oracle, _ = indexed
    on_disk, in_memory = Gallery.open(folder), Gallery.open(folder)
    ids = [hit.id for hit in in_memory.search(QUERY[0], 40)[0]][::-1]
    where = Where(cameras=['moved'], until=30.0)
    for ask in (
        lambda gallery: gallery.hits_of(ids),
        lambda gallery: gallery.embeddings_of(ids).tobytes(),
        lambda gallery: gallery.appearances_of(ids),
        lambda gallery: (len(gallery), gallery.count(where), gallery.count(Where(cameras=[]))),
        lambda gallery: gallery.people_in('3.mp4', 8),
        lambda gallery: gallery.known('4.mp4'),
    ):
        assert repr(ask(on_disk)) == repr(ask(in_memory))
    assert on_disk._engine._snapshot is None
    with pytest.raises(KeyError, match='nobody with id 5'):
        on_disk.hits_of([ids[0], 5])
    for hits in on_disk.appearances(QUERY, 12, where, approximate=True):
        assert len({one.id for one in hits}) == len(hits) == 12
        assert all(one.similarity == one.hit.similarity for one in hits)
    assert on_disk._engine._snapshot is None
    assert len(on_disk) == len(oracle.people())
