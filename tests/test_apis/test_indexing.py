import itertools
import random
import threading
import time

import numpy as np
import pytest
from helpers.index_kills import content, index_with_kills
from helpers.numbered_frames import numbered_frame
from hypothesis import given
from hypothesis import strategies as st

from mmps.apis import PersonSearcher
from mmps.apis.indexing import LOOK_AHEAD, map_batched
from mmps.retrieval import Gallery, clothing_colours
from mmps.retrieval.rows import unpack_colours
from mmps.sources import read_sources
from mmps.utils.errors import UserError
from mmps.visualization import write_image, write_video


@pytest.fixture
def searcher(hashing):
    return PersonSearcher.of_network(hashing, batch_size=4)


@pytest.fixture
def gallery(searcher):
    return Gallery.open('memory:', searcher.tag)


@pytest.fixture
def sources(tmp_path):
    """Ten images and a video of forty frames, 25 per second."""
    for number in range(10):
        write_image(tmp_path / 'images' / f'{number}.png', numbered_frame(number))
    write_video(tmp_path / 'v.avi', map(numbered_frame, range(40)), 25)
    return [tmp_path / 'images', tmp_path / 'v.avi']


def index(searcher, sources, gallery, **options):
    return searcher.index(sources, gallery, progress=False, **options)


def test_everything_is_there_as_the_network_found_it(searcher, hashing, gallery, sources):
    report = index(searcher, sources, gallery, camera='door', start_time=1000.0)
    frames = list(read_sources(sources))
    assert report.frames == len(frames) == 50
    assert gallery.known() == {(frame.source, frame.frame) for frame in frames}
    total = 0
    for frame in frames:
        (expected,) = hashing([frame.image])
        hits = gallery.people_in(frame.source, frame.frame)
        assert [hit.bbox for hit in hits] == [tuple(b.tolist()) for b in expected.bboxes]
        np.testing.assert_array_equal(
            gallery.embeddings_of([hit.id for hit in hits]), expected.embeddings
        )
        worn = clothing_colours(frame.image, expected.bboxes)
        assert [(hit.upper, hit.lower) for hit in hits] == [unpack_colours(one) for one in worn]
        for hit in hits:
            assert (hit.camera, hit.offset, hit.size) == ('door', frame.offset, (160, 64))
            assert hit.time == (None if frame.offset is None else 1000 + frame.offset)
        total += len(hits)
    assert report.people == len(gallery) == total


def test_a_second_run_adds_nothing_and_decodes_nothing(searcher, hashing, gallery, sources):
    index(searcher, sources, gallery)
    before, passes = content(gallery), len(hashing.batches)
    report = index(searcher, sources, gallery)
    assert (report.frames, report.known) == (0, 50)
    assert len(hashing.batches) == passes
    assert content(gallery) == before


def test_what_is_missing_is_added(searcher, hashing, gallery, sources):
    index(searcher, sources, gallery, fps=5)
    assert len(gallery.known()) == 10 + 8
    images = sum(hashing.batches)
    index(searcher, sources, gallery)
    assert len(gallery.known()) == 50
    assert sum(hashing.batches) == images + 32


def test_shards_are_the_whole_without_overlap(searcher, hashing, gallery, sources):
    reports = [index(searcher, sources, gallery, shard=(rank, 3)) for rank in range(3)]
    assert [report.frames for report in reports] == [17, 17, 16]
    assert sum(hashing.batches) == len(gallery.known()) == 50


def test_problems_are_collected_and_the_rest_is_indexed(searcher, gallery, sources, tmp_path):
    (tmp_path / 'images' / 'a\nb.png').write_bytes(b'nothing')
    whole = (tmp_path / 'images' / '3.png').read_bytes()
    (tmp_path / 'images' / 'cut.png').write_bytes(whole[:-30])
    report = index(searcher, [*sources, tmp_path / 'gone'], gallery)
    assert report.frames == 50 and not report.failed
    text = str(report)
    assert len(report.problems) == 3
    assert text.count('\n') == 4  # names with line breaks take no further line
    assert 'truncated' in text and 'no such file' in text and "a\\nb.png'" in text
    assert index(searcher, [tmp_path / 'gone'], gallery).failed


def test_a_pattern_that_fits_nothing(searcher, gallery, sources):
    with pytest.raises(UserError, match=r'fits none of 11 files, such as .*0\.png'):
        index(searcher, sources, gallery, name_pattern=r'cam(?P<camera>\d+)')
    assert not gallery.known()


def test_errors_of_the_gallery_and_of_the_network_come_through(
    searcher, hashing, gallery, sources, monkeypatch
):
    def full(frames):
        raise OSError('No space left on device')

    monkeypatch.setattr(gallery, 'append', full)
    with pytest.raises(OSError, match='No space left'):
        index(searcher, sources, gallery)
    monkeypatch.undo()
    monkeypatch.setattr(PersonSearcher, '_find', lambda self, images: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        index(searcher, sources, gallery)


def test_appending_does_not_hold_up_the_network(searcher, hashing, gallery, sources, monkeypatch):
    """Work that goes on while an append waits is what a slow disk costs nothing of."""
    from mmps.apis import indexing

    monkeypatch.setattr(indexing, 'FRAMES_PER_APPEND', 10)
    append, seen = gallery.append, []

    def slow(frames):
        before = sum(hashing.batches)
        deadline = time.monotonic() + 20
        while sum(hashing.batches) == before < 50 and time.monotonic() < deadline:
            time.sleep(0.001)
        seen.append(sum(hashing.batches) - before)
        append(frames)

    monkeypatch.setattr(gallery, 'append', slow)
    index(searcher, sources, gallery)
    assert len(seen) == 5
    assert seen[0] > 0
    assert len(gallery.known()) == 50


def test_kills(tmp_path):
    index_with_kills(tmp_path, 2, random.Random(5))


def run(shapes, size, ahead=0):
    """Batches that were made, and what came out."""
    batches = []

    def function(batch):
        batches.append(batch)
        return [10 * number for number, _ in batch]

    items = list(enumerate(shapes))
    return batches, list(map_batched(function, items, lambda item: item[1], size, ahead))


@given(
    shapes=st.lists(st.sampled_from('abc'), max_size=60),
    size=st.integers(1, 7),
    ahead=st.integers(0, 3),
)
def test_order_is_kept_and_batches_are_of_one_shape(shapes, size, ahead):
    batches, results = run(shapes, size, ahead)
    assert results == [((i, shape), 10 * i) for i, shape in enumerate(shapes)]
    assert sorted(itertools.chain(*batches)) == list(enumerate(shapes))
    assert all(len({shape for _, shape in batch}) == 1 for batch in batches)
    assert all(len(batch) <= size for batch in batches)


def test_one_shape_is_grouped_as_it_comes():
    batches, _ = run('aaaaaaa', 3)
    assert [[number for number, _ in batch] for batch in batches] == [[0, 1, 2], [3, 4, 5], [6]]


def test_mixed_shapes_still_fill_batches():
    batches, _ = run('ab' * 20, 4)
    assert [len(batch) for batch in batches] == [4] * 10


@pytest.mark.parametrize('ahead', [0, 2])
def test_few_items_are_held_of_an_endless_stream(ahead):
    taken = []

    def items():
        for number in itertools.count():
            taken.append(number)
            # one image of a shape of its own comes first and has to wait
            yield number, 'rare' if number == 0 else number % 50

    results = map_batched(lambda batch: batch, items(), lambda item: item[1], 4, ahead)
    for count, (item, _) in enumerate(itertools.islice(results, 100)):
        assert item[0] == count
        assert len(taken) - count <= 4 * LOOK_AHEAD


def test_so_many_batches_are_in_work_at_a_time():
    together = threading.Barrier(2, timeout=30)  # passed by two batches, not by one

    def function(batch):
        together.wait()
        return batch

    assert [item for item, _ in map_batched(function, 'abcdef', type, 1, 2)] == list('abcdef')


@pytest.mark.parametrize('ahead', [0, 2])
def test_an_error_of_the_function_comes_through(ahead):
    with pytest.raises(ZeroDivisionError):
        list(map_batched(lambda batch: 1 / 0, 'aa', str, 2, ahead))
