import cv2
import numpy as np
import pytest
from helpers.cuhk03_files import write_tiny_cuhk03

from mmps.formats import FORMATS, scene_files
from mmps.formats.cuhk03 import CUHK03Files

# Tiny set: people 1-5 of camera pair 1 and 1-3 of pair 2; labels 1-8 in that order. Picture 5 of
# people 2 and 4 is missing, and person 2 of pair 1 is in no picture of the second view.


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return write_tiny_cuhk03(tmp_path_factory.mktemp('cuhk03'))


def read(root, **options):
    return CUHK03Files(root, **options).read()


def frame_of(index, name):
    return next(frame for frame in index.frames if frame.name == name)


def test_new_protocol_training_split(root):
    index = read(root)
    # 10 + 4 crops of people 1 and 2 of the first pair, 10 + 9 of the second
    assert len(index.frames) == 33
    assert (index.num_ids, index.queries, index.galleries) == (4, (), {})
    ids = {frame.name[:5]: int(frame.person_ids[0]) for frame in index.frames}
    assert ids == {'1_001': 0, '1_002': 1, '2_001': 2, '2_002': 3}
    assert '1_002_1_05.png' not in [frame.name for frame in index.frames]


def test_new_protocol_test_split(root):
    index = read(root, test_mode=True)
    assert len(index.frames) == 39
    assert index.num_ids == 0
    labels = {frame.name[:5]: int(frame.person_ids[0]) for frame in index.frames}
    assert labels == {'1_003': 3, '1_004': 4, '1_005': 5, '2_003': 8}
    # one query of each person and view
    assert sorted(query.image_name[:7] for query in index.queries) == [
        f'{person}_{view}' for person in labels for view in (1, 2)
    ]
    (gallery,) = index.galleries.values()
    assert list(index.galleries) == ['new']
    assert gallery.queries.tolist() == list(range(8))
    # The gallery has 31 crops; four of them are junk, three for the view that lacks a picture.
    assert np.diff(gallery.splits).tolist() == [27, 27, 28, 27, 27, 27, 27, 27]
    queries = {query.image_name for query in index.queries}
    for search, query in enumerate(index.queries):
        names = [
            index.frames[image].name
            for image in gallery.images[gallery.splits[search] : gallery.splits[search + 1]]
        ]
        assert not set(names) & queries
        own_camera = query.image_name[:7]
        assert not [name for name in names if name.startswith(own_camera)]


def test_a_crop_is_a_scene_with_one_person(root):
    index = read(root, test_mode=True)
    CUHK03Files(root, test_mode=True).prepare()
    for frame in index.frames:
        image = cv2.imread(str(root / 'cuhk03_release/images_labelled' / frame.name))
        assert frame.bboxes.tolist() == [[0, 0, image.shape[1], image.shape[0]]]
        assert frame.bboxes.dtype == np.float32
        assert frame.person_ids.shape == (1,)
    by_name = {frame.name: frame for frame in index.frames}
    for query in index.queries:
        frame = by_name[query.image_name]
        assert query.bbox.tolist() == frame.bboxes[0].tolist()
        assert query.person_id == frame.person_ids[0]


def test_a_view_of_a_pair_is_a_camera(root):
    cameras = {f.name[0] + f.name[6]: f.camera for f in read(root).frames}
    assert cameras == {'11': 1, '12': 2, '21': 3, '22': 4}


def test_errors_can_name_the_cell_of_a_crop(root):
    frame = frame_of(read(root, boxes='detected'), '2_001_1_03.png')
    assert frame.source == f'{root}/cuhk03_release/cuhk-03.mat, detected{{2}}{{1,3}}'


def test_classic_training_split(root):
    # Split 1 tests every third person from the second on: 2 and 5 of pair 1, 3 of pair 2.
    index = read(root, protocol='classic', classic_split=1)
    assert index.num_ids == 5
    ids = {frame.name[:5]: int(frame.person_ids[0]) for frame in index.frames}
    assert ids == {'1_001': 0, '1_003': 1, '1_004': 2, '2_001': 3, '2_002': 4}
    assert len(index.frames) == 10 + 10 + 9 + 10 + 9


def test_classic_test_split(root):
    index = read(root, protocol='classic', classic_split=1, test_mode=True)
    assert {int(f.person_ids[0]) for f in index.frames} == {1002, 1005, 2003}
    assert len(index.frames) == len(index.queries) == 4 + 10 + 10
    galleries = index.galleries
    assert list(galleries) == ['classic', 'classic_any_view', 'classic_all']
    # Person 2 is in no picture of the second view, so that nobody can find those four queries.
    searched = set(range(4, 24))
    for gallery in galleries.values():
        assert set(gallery.queries.tolist()) == searched
    sizes = np.diff(galleries['classic'].splits).reshape(10, 20)
    # From the first view of a pair two people can be drawn, from the second one three.
    assert sizes.tolist() == [[2] * 5 + [3] * 5 + [2] * 5 + [3] * 5] * 10
    assert np.diff(galleries['classic_any_view'].splits).tolist() == [3] * 200
    # 24 crops but the 5 of the same person by the same camera, the query among them
    assert np.diff(galleries['classic_all'].splits).tolist() == [19] * 20


def test_boxes_choose_crops_and_protocol(root):
    names = [[f.name for f in read(root, boxes=boxes).frames] for boxes in ('labelled', 'detected')]
    assert set(names[0]) - set(names[1]) == {'1_001_2_10.png'}
    files = [CUHK03Files(root, boxes=boxes) for boxes in ('labelled', 'detected')]
    assert [f.image_root.name for f in files] == ['images_labelled', 'images_detected']
    assert files[0].sources() == [
        root / 'cuhk03_release/cuhk-03.mat',
        root / 'cuhk03_new_protocol_config_labeled.mat',
    ]
    assert files[1].sources()[1].name == 'cuhk03_new_protocol_config_detected.mat'


def test_the_classic_protocol_needs_no_other_file(tmp_path):
    root = write_tiny_cuhk03(tmp_path)
    for path in root.glob('*.mat'):
        path.unlink()
    files = CUHK03Files(root, protocol='classic')
    assert files.sources() == [root / 'cuhk03_release/cuhk-03.mat']
    assert files.read().num_ids == 5
    with pytest.raises(FileNotFoundError, match='cuhk03_new_protocol_config_labeled.mat'):
        read(root)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(boxes='labeled'), "boxes='labeled' is unknown; use 'labelled' or 'detected'"),
        (dict(protocol='old'), "protocol='old' is unknown; use 'new' or 'classic'"),
        (dict(classic_split=3), "classic_split=3 is for protocol='classic', but protocol='new'"),
    ],
)
def test_unknown_options(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        CUHK03Files(tmp_path, **options)


@pytest.mark.parametrize('split', [-1, 20])
def test_a_split_that_does_not_exist(root, split):
    with pytest.raises(ValueError, match=rf'classic_split={split}, .* the splits 0 to 19'):
        read(root, protocol='classic', classic_split=split)


def test_a_config_names_the_options(root):
    dataset = dict(
        type='CUHK03Dataset', data_root=str(root), test_mode=True, boxes='detected', pipeline=[]
    )
    assert FORMATS['CUHK03Dataset'] is CUHK03Files
    assert scene_files(dataset) == CUHK03Files(root, True, boxes='detected')
