import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from helpers.prw_files import write_tiny_prw
from helpers.scene_indices import assert_same_index
from scipy.io import savemat

from mmps.formats import cache, load_scenes
from mmps.formats.cache import cache_folder
from mmps.formats.loading import read_scenes
from mmps.formats.prw import PRWFiles


@pytest.fixture
def root(tmp_path):
    return write_tiny_prw(tmp_path / 'PRW')


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache that takes files however young they are."""
    monkeypatch.setattr(cache, 'SETTLED_NS', 0)
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
    monkeypatch.setattr(cache, '_reader_version', lambda kind: 'another')
    load_scenes(PRWFiles(root))
    assert reads == ['train', 'train']


def test_a_format_of_ones_own_counts_as_reader():
    assert cache._reader_version(PRWFiles) != cache._reader_version(FilesOfThisModule)
    assert cache._reader_version(type('Typed', (PRWFiles,), {'__module__': 'nowhere'})) == ''


def test_every_module_of_the_readers_counts(monkeypatch):
    hashed, read_bytes = set(), Path.read_bytes
    monkeypatch.setattr(Path, 'read_bytes', lambda path: hashed.add(path) or read_bytes(path))
    cache._reader_version.__wrapped__(PRWFiles)
    loaded = {m.__file__ for name, m in sys.modules.items() if name.startswith('mmps.formats')}
    assert {file for file in loaded if file.endswith('mat5.py')}
    assert loaded <= set(map(str, hashed))


class FilesOfThisModule(PRWFiles):
    pass


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
    monkeypatch.setattr(cache, 'SETTLED_NS', 3600 * 10**9)
    for _ in range(2):
        load_scenes(PRWFiles(root))
    assert reads == ['train', 'train']


class Bomb:
    def __reduce__(self):
        return os.mkdir, (os.environ['MMPS_TEST_BOMB'],)


def pickled(path):
    np.savez(path, state=np.array([Bomb()], object))


def without_arrays(path):
    with np.load(path) as archive:
        state = archive['state']
    np.savez(path, state=state)


def with_flipped_byte(path):
    content = bytearray(path.read_bytes())
    content[content.index(b'c1s1_')] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    'damage',
    [
        pickled,
        without_arrays,
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


def test_a_full_disk_leaves_nothing_half_written(root, folder, caplog, monkeypatch):
    def full(file, **_):
        file.write(b'half')
        raise OSError('No space left on device')

    monkeypatch.setattr(np, 'savez', full)
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
from mmps.formats import cache, load_scenes
from mmps.formats.prw import PRWFiles
cache.SETTLED_NS = 0
for _ in range(30):
    index, _ = load_scenes(PRWFiles(sys.argv[1], test_mode=True))
    assert [len(frame.bboxes) for frame in index.frames] == eval(sys.argv[2])
    if sys.argv[3] == '0':  # every reading is written while others read
        cache.IndexCache(PRWFiles(sys.argv[1], test_mode=True)).save(index, [])
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
