import numpy as np
import pytest
from helpers.scene_indices import random_index
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmps.formats.coco import CocoPersonSearchFiles
from mmps.formats.coco.writer import write_coco
from mmps.formats.converters import prw_layout
from mmps.formats.converters.prw_layout import write_prw_layout
from mmps.formats.converters.tally import Tally
from mmps.formats.loading import read_scenes
from mmps.formats.prw import PRWFiles
from mmps.formats.scene_index import Frame, Query, SceneIndex


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
    assert tally.count(prw_layout.ROUNDED) == 2
    assert tally.count(prw_layout.REENCODED) == 0


def test_other_images_become_jpeg(tmp_path):
    tally = Tally()
    write_prw_layout(tmp_path / 'out', write_coco_set(tmp_path, small('.png')), tally=tally)
    assert tally.count(prw_layout.REENCODED) == 3
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
    assert tally.count(prw_layout.GALLERIES) == 2


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
