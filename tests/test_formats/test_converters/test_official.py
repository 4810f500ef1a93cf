import json
from functools import partial

import numpy as np
import pytest
from helpers.cuhk03_files import write_tiny_cuhk03
from helpers.cuhk_sysu_files import write_tiny_cuhk_sysu
from helpers.prw_files import write_tiny_prw
from helpers.scene_indices import assert_same_index, random_index
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmps.formats.coco import CocoPersonSearchFiles, write_coco
from mmps.formats.converters import official
from mmps.formats.converters.annotated_images import NO_AREA, Tally
from mmps.formats.converters.official import convert_split, write_prw_layout
from mmps.formats.cuhk03 import CUHK03Files
from mmps.formats.cuhk_sysu import CUHKSYSUFiles
from mmps.formats.loading import read_scenes
from mmps.formats.prw import PRWFiles
from mmps.formats.scene_index import Frame, Query, SceneIndex

WRITERS = {
    'PRW': (write_tiny_prw, PRWFiles, {}),
    'CUHK-SYSU': (
        partial(write_tiny_cuhk_sysu, traps=True),
        CUHKSYSUFiles,
        dict(gallery_sizes=(100, 50, 500), subsets=('occlusion', 'resolution')),
    ),
    'CUHK03': (write_tiny_cuhk03, CUHK03Files, {}),
    'CUHK03 classic': (
        write_tiny_cuhk03,
        CUHK03Files,
        dict(protocol='classic', boxes='detected', classic_split=3),
    ),
}


@pytest.mark.parametrize('test_mode', [False, True])
@pytest.mark.parametrize('name', WRITERS)
def test_there_and_back(tmp_path, name, test_mode):
    write, kind, options = WRITERS[name]
    files = kind(write(tmp_path / 'set'), test_mode, **options)
    path = tmp_path / f'{files.split}.json'
    index = convert_split(files, path, Tally())
    assert_same_index(index, read_scenes(files)[0])
    coco = CocoPersonSearchFiles(tmp_path, test_mode, image_folder=str(files.image_root))
    back, removed = read_scenes(coco)
    assert_same_index(back, index)
    assert removed == []
    assert bool(index.galleries) == (test_mode and name != 'PRW')
    assert all((coco.image_root / frame.name).is_file() for frame in back.frames)


def test_images_are_measured(tmp_path):
    root = write_tiny_prw(tmp_path / 'PRW')
    convert_split(PRWFiles(root), tmp_path / 'train.json', Tally())
    image = json.loads((tmp_path / 'train.json').read_text())['images'][0]
    assert (image['width'], image['height']) == (160, 120)


def test_what_is_left_out_is_counted(tmp_path):
    from scipy.io import savemat

    root = write_tiny_prw(tmp_path / 'PRW')
    path = root / 'annotations' / 'c1s1_000000.jpg.mat'
    savemat(path, {'box_new': [[1.0, 2, 3, 0, 5], [1, 2, 3, 4, 5]]})
    tally = Tally()
    index = convert_split(PRWFiles(root), tmp_path / 'train.json', tally)
    assert len(index.frames[0].bboxes) == 1
    assert tally.lines() == [f'1 {NO_AREA} (first: {path} (row 0))']


def test_images_have_to_be_there(tmp_path):
    root = write_tiny_prw(tmp_path / 'PRW')
    (root / 'frames' / 'c1s1_000000.jpg').unlink()
    with pytest.raises(FileNotFoundError, match=r'c1s1_000000\.jpg: .* \(1 of 4 are\)'):
        convert_split(PRWFiles(root), root / 'train.json', Tally())
    assert not (root / 'train.json').exists()


def write_coco_set(root, splits, suffix='.jpg'):
    """A COCO-style set with images of one colour."""
    for split, index in splits.items():
        write_coco(root / f'{split}.json', index, test_mode=split == 'test')
        for number, frame in enumerate(index.frames):
            path = root / 'images' / frame.name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new('RGB', (64, 36), (number, 0, 0)).save(path)
    return {split: CocoPersonSearchFiles(root, split == 'test') for split in splits}


def cut(bboxes):
    """The rounding that the documentation names: negative values become 0, fractions go."""
    return np.trunc(np.asarray(bboxes).clip(min=0)).astype(np.float32)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_what_prw_reads_is_what_coco_says_but_for_the_rounding(tmp_path_factory, seed):
    rng, root = np.random.default_rng(seed), tmp_path_factory.mktemp('prw')
    splits = {s: random_index(rng, test_mode=s == 'test', frames=3) for s in ('train', 'test')}
    files = write_coco_set(root, splits)
    out = root / 'new' / 'PRW'
    write_prw_layout(out, files, tally=Tally(), unknown_camera=9)
    lines = [line.split(',') for line in (out / 'names.csv').read_text().splitlines()[1:]]
    for split, index in splits.items():
        names = {old: new for new, old, its_split in lines if its_split == split}
        back = PRWFiles(out, split == 'test').read()
        assert back.num_ids == index.num_ids
        assert [frame.name for frame in back.frames] == [names[f.name] for f in index.frames]
        for frame, before in zip(back.frames, index.frames, strict=True):
            assert frame.camera == (9 if before.camera == -1 else before.camera)
            np.testing.assert_array_equal(frame.bboxes, cut(before.bboxes), strict=True)
            np.testing.assert_array_equal(frame.person_ids, before.person_ids)
            copied = (out / 'frames' / frame.name).read_bytes()
            assert copied == (root / 'images' / before.name).read_bytes()
        for query, before in zip(back.queries, index.queries, strict=True):
            assert query.image_name == names[before.image_name]
            assert query.person_id == before.person_id
            np.testing.assert_array_equal(query.bbox, cut(before.bbox), strict=True)


def frame(name, boxes, ids, camera=1):
    bboxes = np.array(boxes, np.float32).reshape(-1, 4)
    return Frame(name, bboxes, np.array(ids, np.int64), name, camera)


def small(suffix='.jpg', camera=1):
    box = [-3, 2.7, 10.3, 20]
    test = [frame(f'b{suffix}', [box], [40], camera), frame(f'c{suffix}', [], [])]
    queries = [Query(f'b{suffix}', np.array(box, np.float32), 40, '')]
    return {
        'train': SceneIndex([frame(f'a{suffix}', [box, [1, 2, 3, 4]], [0, -1])], 1),
        'test': SceneIndex(test, 0, queries),
    }


def test_boxes_over_the_edge_keep_their_other_corner(tmp_path):
    tally = Tally()
    write_prw_layout(tmp_path / 'out', write_coco_set(tmp_path, small()), tally=tally)
    (train,) = read_scenes(PRWFiles(tmp_path / 'out'))[0].frames
    assert train.bboxes.tolist() == [[0, 2, 10, 20], [1, 2, 3, 4]]
    test = read_scenes(PRWFiles(tmp_path / 'out', True))[0]
    assert test.queries[0].bbox.tolist() == [0, 2, 10, 20]
    assert tally.count(official.ROUNDED) == 2
    assert tally.count(official.REENCODED) == 0


def test_other_images_become_jpeg(tmp_path):
    tally = Tally()
    write_prw_layout(tmp_path / 'out', write_coco_set(tmp_path, small('.png')), tally=tally)
    assert tally.count(official.REENCODED) == 3
    with Image.open(tmp_path / 'out' / 'frames' / 'c1s1_000000.jpg') as image:
        assert (image.format, image.size) == ('JPEG', (64, 36))


def test_galleries_are_left_out_and_counted(tmp_path):
    splits = small()
    rng = np.random.default_rng(0)
    index = random_index(rng, test_mode=True, galleries=(50, 'hard'))
    assert index.galleries
    tally = Tally()
    files = write_coco_set(tmp_path, splits | {'test': index})
    write_prw_layout(tmp_path / 'out', files, tally=tally, unknown_camera=0)
    assert tally.count(official.GALLERIES) == 2


def test_an_unknown_camera_is_an_error(tmp_path):
    files = write_coco_set(tmp_path, small(camera=-1))
    with pytest.raises(ValueError, match='image b.jpg: the camera is unknown, .* cam_id'):
        write_prw_layout(tmp_path / 'out', files, tally=Tally())
    assert sorted(p.name for p in tmp_path.iterdir()) == ['images', 'test.json', 'train.json']


def test_an_error_leaves_nothing(tmp_path):
    files = write_coco_set(tmp_path, small())
    (tmp_path / 'images' / 'c.jpg').unlink()
    with pytest.raises(FileNotFoundError, match='c.jpg: this image is missing'):
        write_prw_layout(tmp_path / 'out', files, tally=Tally())
    assert sorted(p.name for p in tmp_path.iterdir()) == ['images', 'test.json', 'train.json']


def test_a_folder_that_exists_is_left_alone(tmp_path):
    with pytest.raises(FileExistsError, match='exists; give a folder that does not'):
        write_prw_layout(tmp_path, {}, tally=Tally())
