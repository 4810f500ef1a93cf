import os
import pickle
import shutil
import subprocess
import sys
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from helpers.prw_files import write_tiny_prw
from helpers.scene_indices import assert_same_index, random_index
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from mmps.evaluation.functional.annotations import SearchGalleries
from mmps.formats import load_scenes, loading
from mmps.formats.loading import cache_folder, drop_boxes_outside, read_scenes
from mmps.formats.prw import PRWFiles
from mmps.formats.scene_index import Frame, Query, SceneIndex


def frame(name, boxes, ids, camera=-1):
    bboxes = np.array(boxes, np.float32).reshape(-1, 4)
    return Frame(name, bboxes, np.array(ids, np.int64), f'{name}.mat', camera)


def query(name, box, person_id=1):
    return Query(name, np.array(box, np.float32), person_id, 'queries.txt, line 5')


def files_with(monkeypatch, index, test_mode=True):
    monkeypatch.setattr(PRWFiles, 'read', lambda self: index)
    return PRWFiles('data/here', test_mode)


GOOD = [0, 0, 1, 1]


@pytest.mark.parametrize(
    ('box', 'person', 'train', 'message'),
    [
        ([0, 0, np.nan, 1], 1, False, r'row 1 .*the box .* not finite'),
        ([0, 0, 1, 1e6 + 1], 1, False, r'row 1 .*beyond 1,000,000 pixels'),
        ([0, 0, 1, -2e6], 1, False, r'row 1 .*beyond 1,000,000 pixels'),
        (GOOD, -2, False, r'row 1 .* has the id -2'),
        (GOOD, 2**31, False, r'row 1 .* has the id 2147483648'),
        (GOOD, 4, True, r'row 1 .* id 4; ids are from 0 to 3'),
    ],
)
def test_rows_that_are_refused(monkeypatch, box, person, train, message):
    frames = [frame('a.jpg', [GOOD], [-1]), frame('b.jpg', [GOOD, box], [1, person])]
    with pytest.raises(ValueError, match=rf'b\.jpg\.mat: {message}'):
        read_scenes(files_with(monkeypatch, SceneIndex(frames, 4), not train))


@pytest.mark.parametrize(
    ('asked', 'message'),
    [
        (query('a.jpg', [0, 0, np.inf, 1]), 'the box .* not finite .* remove that line'),
        (query('a.jpg', GOOD, -1), 'the id -1; ids are from 0'),
        (query('b.jpg', GOOD), "image 'b.jpg' is not among the 1 test"),
        (query('a.jpg', [0, 0, 0, 1]), 'the box .* has no area'),
    ],
)
def test_queries_that_are_refused(monkeypatch, asked, message):
    index = SceneIndex([frame('a.jpg', [], [])], 0, [query('a.jpg', GOOD, 0), asked])
    with pytest.raises(ValueError, match=f'line 5: {message}'):
        read_scenes(files_with(monkeypatch, index))


def test_dropping_keeps_ids_beside_their_boxes(monkeypatch):
    frames = [
        frame('a.jpg', [[0, 0, 1, 1], [2, 2, 2, 5], [-1e6, 3, 4, 1e6]], [7, -1, 9]),
        frame('b.jpg', [], []),
    ]
    index, removed = read_scenes(files_with(monkeypatch, SceneIndex(frames, 10), False))
    assert index.frames[0].bboxes.tolist() == [[0, 0, 1, 1], [-1e6, 3, 4, 1e6]]
    assert index.frames[0].person_ids.tolist() == [7, 9]
    assert len(index.frames[1].bboxes) == 0
    assert removed == ['a.jpg.mat (row 1)']


def test_image_listed_twice(monkeypatch):
    frames = [frame('a.jpg', [], []), frame('b.jpg', [], []), frame('a.jpg', [], [])]
    with pytest.raises(ValueError, match="data/here: image 'a.jpg' is listed twice"):
        read_scenes(files_with(monkeypatch, SceneIndex(frames, 0)))


@pytest.mark.parametrize(
    ('images', 'queries', 'message'),
    [([0, 2], [0], 'gallery 100, images: row 1 is 2'), ([0, 1], [3], 'gallery 100, queries')],
)
def test_gallery_of_images_and_queries_that_are_none(monkeypatch, images, queries, message):
    frames = [frame('a.jpg', [[0, 0, 1, 1]], [1]), frame('b.jpg', [], [])]
    gallery = SearchGalleries([0, 2], images, [], np.empty((0, 4)), queries)
    index = SceneIndex(frames, 0, [query('a.jpg', [0, 0, 1, 1])], {100: gallery})
    with pytest.raises(ValueError, match=f'data/here: {message}'):
        read_scenes(files_with(monkeypatch, index))


def test_other_array_types_become_those_of_the_index(monkeypatch):
    box = np.array([[0, 0, 1.5, 1]])
    made = Frame('a.jpg', box, np.array([1], np.uint8), 'a.mat')
    index, _ = read_scenes(files_with(monkeypatch, SceneIndex([made], 0)))
    assert index.frames[0].bboxes.dtype == np.float32
    assert index.frames[0].person_ids.dtype == np.int64
    np.testing.assert_array_equal(index.frames[0].bboxes, box)


INSIDE = [10.0, 10.0, 30.0, 50.0]


@pytest.mark.parametrize(
    ('box', 'inside'),
    [
        ([100, 10, 120, 50], False),
        ([99.5, 10, 120, 50], True),
        ([10, 60, 30, 90], False),
        ([10, 59, 30, 90], True),
        ([-20, 10, 0, 50], False),
        ([-20, 10, 0.5, 50], True),
        ([10, -40, 30, 0], False),
        ([10, -40, 30, 1], True),
        ([-20, -20, 120, 80], True),
        ([500, 500, 600, 600], False),
    ],
)
def test_boxes_outside_their_image(box, inside):
    """In an image of 100 x 60 pixels; to touch an edge from outside is to be outside."""
    frames = [
        Frame('a.jpg', np.array([INSIDE, box], np.float32), np.array([3, 4]), 'x.mat'),
        Frame('b.jpg', np.array([INSIDE], np.float32), np.array([5]), 'y.mat'),
    ]
    kept, removed = drop_boxes_outside(frames, [(100, 60)] * 2)
    assert kept[0].person_ids.tolist() == [3, 4][: 1 + inside]
    assert kept[0].bboxes.tolist() == [INSIDE, box][: 1 + inside]
    assert kept[1] is frames[1]
    text = ', '.join(str(float(value)) for value in box)
    place = f'x.mat: a.jpg, [{text}] (x1, y1, x2, y2) in an image of 100 x 60 pixels'
    assert removed == [place] * (not inside)
    # without its size, only what ends left of the image or above it is known to be outside
    assert len(drop_boxes_outside(frames, [None] * 2)[1]) == (min(box[2:]) <= 0)


@pytest.fixture
def root(tmp_path):
    return write_tiny_prw(tmp_path / 'PRW')


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache that takes files however young they are."""
    monkeypatch.setattr(loading, 'SETTLED_NS', 0)
    monkeypatch.setenv('MMPS_INDEX_CACHE', str(tmp_path / 'cache'))
    return tmp_path / 'cache'


@pytest.fixture
def reads(monkeypatch):
    """A list that grows with each reading of a data set's own files."""
    done, read = [], PRWFiles.read
    monkeypatch.setattr(PRWFiles, 'read', lambda self: done.append(self.split) or read(self))
    return done


@pytest.mark.parametrize('test_mode', [False, True])
def test_the_second_time_gives_the_same_without_reading(root, folder, reads, test_mode):
    annotation = sorted((root / 'annotations').iterdir())[-1 if test_mode else 0]
    rows = np.array([[-2, 5, 5, 0, 9], [-2, 5, 5, 9, 9.0]])
    savemat(annotation, {'box_new': rows})
    files = PRWFiles(root, test_mode)
    index, removed = load_scenes(files)
    again, removed_again = load_scenes(files)
    assert reads == [files.split]
    assert_same_index(again, index)
    assert removed_again == removed == [f'{annotation} (row 0)']
    assert [frame.source for frame in again.frames] == [frame.source for frame in index.frames]
    assert [query.source for query in again.queries] == [query.source for query in index.queries]


def test_one_file_for_each_split_folder_and_choice_of_options(root, folder, tmp_path):
    other = tmp_path / 'other'
    shutil.copytree(root, other)
    for _ in range(2):
        for files in (PRWFiles(root), PRWFiles(root, True), PRWFiles(other)):
            load_scenes(files)
            os.utime(files.sources()[0])
    assert len(list(folder.iterdir())) == 3


def test_options_are_part_of_the_name(root, folder):
    @dataclass(frozen=True)
    class WithOption(PRWFiles):
        limit: int = 2

        def read(self):
            index = super().read()
            return type(index)(index.frames[: self.limit], index.num_ids)

    for limit in (2, 3, 2):
        assert len(load_scenes(WithOption(root, limit=limit))[0].frames) == limit


def change_bytes_but_not_size_and_time(path):
    before = path.stat()
    path.write_bytes(path.read_bytes().replace(b'485 ', b'486 '))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace_by_older_copy(path):
    copy = path.with_suffix('.copy')
    shutil.copy2(path, copy)
    os.replace(copy, path)


@pytest.mark.parametrize(
    'change', [change_bytes_but_not_size_and_time, replace_by_older_copy, os.utime]
)
def test_a_changed_file_is_read_again(root, folder, reads, change):
    load_scenes(PRWFiles(root, True))
    change(root / 'query_info.txt')
    index, _ = load_scenes(PRWFiles(root, True))
    assert reads == ['test', 'test']
    assert_same_index(index, read_scenes(PRWFiles(root, True))[0])


def test_a_file_that_disappears_is_missed(root, folder):
    load_scenes(PRWFiles(root, True))
    (root / 'query_info.txt').unlink()
    with pytest.raises(FileNotFoundError, match='query_info.txt'):
        load_scenes(PRWFiles(root, True))


def test_another_reader_makes_the_index_invalid(root, folder, reads, monkeypatch):
    load_scenes(PRWFiles(root))
    monkeypatch.setattr(loading, '_READERS', 'another')
    load_scenes(PRWFiles(root))
    assert reads == ['train', 'train']


def test_files_that_change_while_they_are_read_are_not_cached(root, folder, reads, monkeypatch):
    read = PRWFiles.read

    def slowly(self):
        index = read(self)
        os.utime(self.root / 'ID_train.mat')
        return index

    monkeypatch.setattr(PRWFiles, 'read', slowly)
    for _ in range(2):
        load_scenes(PRWFiles(root))
    assert reads == ['train', 'train']
    assert not folder.exists()


def test_files_changed_a_moment_ago_are_not_cached(root, folder, reads, monkeypatch):
    monkeypatch.setattr(loading, 'SETTLED_NS', 3600 * 10**9)
    for _ in range(2):
        load_scenes(PRWFiles(root))
    assert reads == ['train', 'train']


class Bomb:
    def __reduce__(self):
        return os.mkdir, (os.environ['MMPS_TEST_BOMB'],)


def of_another_kind(path):
    content = msgspec.msgpack.encode(('state', {'frames': 3}, []))
    path.write_bytes(zlib.crc32(content).to_bytes(4, 'big') + content)


def with_flipped_byte(path):
    content = bytearray(path.read_bytes())
    content[content.index(b'c1s1_')] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    'damage',
    [
        of_another_kind,
        with_flipped_byte,
        lambda path: path.write_bytes(path.read_bytes()[:-30]),
        lambda path: path.write_bytes(b''),
        lambda path: path.write_text('a note of mine'),
        lambda path: path.write_bytes(pickle.dumps(Bomb())),
    ],
)
def test_a_damaged_cache_is_ignored_and_mended(
    root, folder, reads, damage, tmp_path, monkeypatch, caplog
):
    monkeypatch.setenv('MMPS_TEST_BOMB', str(tmp_path / 'bomb'))
    wanted, _ = load_scenes(PRWFiles(root))
    (path,) = folder.iterdir()
    damage(path)
    for _ in range(2):
        assert_same_index(load_scenes(PRWFiles(root))[0], wanted)
    assert reads == ['train', 'train']
    assert f'{path}: damaged, read anew' in caplog.text
    assert not (tmp_path / 'bomb').exists()


def test_a_cache_that_cannot_be_written_is_only_logged(root, folder, reads, caplog, monkeypatch):
    monkeypatch.setenv('MMPS_INDEX_CACHE', str(root / 'query_info.txt' / 'below'))
    assert len(load_scenes(PRWFiles(root))[0].frames) == 4
    assert 'cannot be written' in caplog.text
    assert 'MMPS_INDEX_CACHE=off' in caplog.text


def test_names_that_are_no_text_are_not_cached(root, folder, caplog, monkeypatch):
    index = SceneIndex([frame('a\udcff.jpg', [], [])], 0)
    monkeypatch.setattr(PRWFiles, 'read', lambda self: index)
    assert load_scenes(PRWFiles(root))[0].frames[0].name == 'a\udcff.jpg'
    assert 'cannot be written' in caplog.text
    assert not folder.exists()


def test_a_full_disk_leaves_nothing_half_written(root, folder, caplog, monkeypatch):
    def full(path, content):
        with open(path, 'wb') as file:
            file.write(content[:9])
        raise OSError('No space left on device')

    monkeypatch.setattr(Path, 'write_bytes', full)
    load_scenes(PRWFiles(root))
    assert 'No space left on device' in caplog.text
    assert list(folder.iterdir()) == []


def test_folder(monkeypatch):
    monkeypatch.delenv('MMPS_INDEX_CACHE')
    monkeypatch.setenv('XDG_CACHE_HOME', '/somewhere')
    assert cache_folder() == Path('/somewhere/mmps/index')
    monkeypatch.delenv('XDG_CACHE_HOME')
    monkeypatch.setenv('HOME', '/home/me')
    assert cache_folder() == Path('/home/me/.cache/mmps/index')
    monkeypatch.setenv('MMPS_INDEX_CACHE', 'off')
    assert cache_folder() is None


def test_off(root, folder, reads, monkeypatch):
    monkeypatch.setenv('MMPS_INDEX_CACHE', 'off')
    for _ in range(2):
        load_scenes(PRWFiles(root))
    assert reads == ['train', 'train']
    assert not folder.exists()


RANK = """
import sys
from mmps.formats import load_scenes, loading
from mmps.formats.prw import PRWFiles
loading.SETTLED_NS = 0
for _ in range(30):
    index, _ = load_scenes(PRWFiles(sys.argv[1], test_mode=True))
    assert [len(frame.bboxes) for frame in index.frames] == eval(sys.argv[2])
    if sys.argv[3] == '0':  # every reading is written while others read
        files = PRWFiles(sys.argv[1], test_mode=True)
        path = loading.cache_folder() / loading._cache_name(files)
        loading._save(path, loading._state(files)[0], index, [])
"""


def test_processes_side_by_side(root, folder):
    counts = [len(frame.bboxes) for frame in read_scenes(PRWFiles(root, True))[0].frames]
    arguments = [sys.executable, '-c', RANK, str(root), str(counts)]
    ranks = [subprocess.Popen([*arguments, str(n % 2)], stderr=subprocess.PIPE) for n in range(3)]
    for rank in ranks:
        stderr = rank.communicate()[1].decode()
        assert rank.returncode == 0, stderr
        assert stderr == ''
    assert len(list(folder.iterdir())) == 1


TEXTS = st.text(st.characters(codec='utf-8'), max_size=8)
GALLERIES = st.lists(st.integers(1, 4000) | TEXTS, unique=True, max_size=3)


@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(0, 2**32 - 1), st.booleans(), GALLERIES)
def test_an_index_comes_back_as_it_was(tmp_path_factory, data, seed, test_mode, galleries):
    given_index = random_index(
        np.random.default_rng(seed),
        test_mode=test_mode,
        frames=data.draw(st.integers(0, 4)),
        galleries=tuple(galleries),
    )
    frames = [
        replace(frame, name=data.draw(TEXTS), source=data.draw(TEXTS))
        for frame in given_index.frames
    ]
    queries = [
        replace(query, image_name=data.draw(TEXTS), source=data.draw(TEXTS))
        for query in given_index.queries
    ]
    removed = data.draw(st.lists(TEXTS, max_size=3))
    raw_ids = data.draw(st.none() | st.lists(st.integers(0, 999)).map(np.int64))
    given_index = replace(given_index, frames=frames, queries=queries, raw_ids=raw_ids)

    path = tmp_path_factory.mktemp('cache') / 'index.msgpack'
    loading._save(path, 'state', given_index, removed)
    assert loading._load(path, 'other') is None
    index, removed_then = loading._load(path, 'state')

    assert_same_index(index, given_index)
    assert removed_then == removed
    np.testing.assert_array_equal(index.raw_ids, raw_ids)
    assert [frame.source for frame in index.frames] == [frame.source for frame in frames]
    assert [query.source for query in index.queries] == [query.source for query in queries]
