import json
import os
import subprocess
import sys

import cv2
import h5py
import numpy as np
import pytest
from helpers.cuhk03_files import write_tiny_cuhk03

from mmps.formats.cuhk03 import images
from mmps.formats.cuhk03.crops import read_crops
from mmps.formats.cuhk03.images import COMPLETE, unpack_crops


@pytest.fixture
def source(tmp_path):
    root = write_tiny_cuhk03(tmp_path / 'cuhk03', people=(3, 3), splits=1)
    return root / 'cuhk03_release/cuhk-03.mat'


@pytest.fixture
def folder(source):
    return source.parent / 'images_labelled'


def written_times(folder):
    """When each file was written; changing a time stamp by hand does not touch this one."""
    return {path.name: path.stat().st_ctime_ns for path in folder.glob('*.png')}


def test_pixels(source, folder):
    unpack_crops(source, 'labelled', folder)
    names = [crop.name for crop in read_crops(source, 'labelled')]
    assert sorted(path.name for path in folder.iterdir()) == sorted([*names, COMPLETE])
    with h5py.File(source) as file:
        for pair, person, number, name in [
            (0, 0, 0, '1_001_1_01.png'),
            (0, 2, 4, '1_003_1_05.png'),
            (1, 1, 9, '2_002_2_10.png'),
        ]:
            stored = file[file[file['labeled'][0, pair]][number, person]][()]
            rgb = cv2.imread(str(folder / name))[..., ::-1]
            np.testing.assert_array_equal(rgb, stored.transpose(2, 1, 0))


def test_detected_crops_have_a_folder_of_their_own(source, folder):
    unpack_crops(source, 'labelled', folder)
    unpack_crops(source, 'detected', source.parent / 'images_detected')
    names = [
        {path.name for path in f.glob('*.png')} for f in (folder, folder.parent / 'images_detected')
    ]
    assert names[0] - names[1] == {'1_001_2_10.png'}


def test_a_complete_folder_is_recognised_without_opening_the_file(source, folder, monkeypatch):
    unpack_crops(source, 'labelled', folder)

    def refuse(*_):
        raise AssertionError('opened again')

    monkeypatch.setattr(images, 'Mat73File', refuse)
    unpack_crops(source, 'labelled', folder)


def test_an_interrupted_run_is_completed(source, folder, monkeypatch):
    write_image, done = images._write_image, []

    def interrupted(path, *rest):
        if len(done) == 7:
            raise KeyboardInterrupt
        done.append(path.name)
        write_image(path, *rest)

    monkeypatch.setattr(images, '_write_image', interrupted)
    with pytest.raises(KeyboardInterrupt):
        unpack_crops(source, 'labelled', folder)
    assert not (folder / COMPLETE).exists()
    monkeypatch.setattr(images, '_write_image', write_image)
    before = written_times(folder)
    assert sorted(before) == sorted(done)
    unpack_crops(source, 'labelled', folder)
    after = written_times(folder)
    assert {name: after[name] for name in before} == before
    assert sorted(after) == [crop.name for crop in read_crops(source, 'labelled')]
    assert (folder / COMPLETE).exists()


@pytest.mark.parametrize('complete', [True, False])
def test_another_file_replaces_every_crop(source, folder, complete):
    unpack_crops(source, 'labelled', folder)
    if not complete:
        (folder / COMPLETE).unlink()
    old = (folder / '1_001_1_01.png').read_bytes()
    other = write_tiny_cuhk03(folder.parents[2] / 'other', people=(3, 3), splits=1, seed=1)
    os.replace(other / 'cuhk03_release/cuhk-03.mat', source)
    unpack_crops(source, 'labelled', folder)
    assert (folder / '1_001_1_01.png').read_bytes() != old
    sizes = {crop.name: (crop.height, crop.width) for crop in read_crops(source, 'labelled')}
    for name, size in sizes.items():
        assert cv2.imread(str(folder / name)).shape[:2] == size


def test_another_file_of_the_same_time(source, folder):
    os.utime(source, ns=(10**18, 10**18))
    unpack_crops(source, 'labelled', folder)
    (folder / COMPLETE).unlink()
    source.write_bytes(source.read_bytes() + bytes(100))
    os.utime(source, ns=(10**18, 10**18))
    before = written_times(folder)
    unpack_crops(source, 'labelled', folder)
    assert not set(before.items()) & set(written_times(folder).items())


@pytest.mark.parametrize('content', ['', '{', '[]', '{"size": 1}'])
def test_a_damaged_record_counts_as_none(source, folder, content):
    unpack_crops(source, 'labelled', folder)
    record = folder / COMPLETE
    sound = record.read_text()
    record.write_text(content)
    unpack_crops(source, 'labelled', folder)
    assert json.loads(record.read_text()) == json.loads(sound)


def test_processes_at_once(source, folder):
    code = (
        'import sys; from pathlib import Path; from mmps.formats.cuhk03.images import unpack_crops;'
        'unpack_crops(Path(sys.argv[1]), "labelled", Path(sys.argv[2]))'
    )
    command = [sys.executable, '-c', code, str(source), str(folder)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == 0, errors.decode()
    crops = read_crops(source, 'labelled')
    assert sorted(p.name for p in folder.iterdir()) == sorted([*(c.name for c in crops), COMPLETE])
    for crop in crops:
        assert cv2.imread(str(folder / crop.name)).shape == (crop.height, crop.width, 3)


def test_crops_cannot_be_written(source, folder):
    folder.write_text('in the way')
    with pytest.raises(OSError, match='images_labelled: the crops of cuhk-03.mat cannot be'):
        unpack_crops(source, 'labelled', folder)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'cuhk-03\.mat: .* missing'):
        unpack_crops(tmp_path / 'cuhk-03.mat', 'labelled', tmp_path / 'images')
    assert not (tmp_path / 'images').exists()
