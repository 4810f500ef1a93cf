"""A data set of seven images by hand, tiny ones with traps, and files that are wrong."""

import itertools
import tempfile
import warnings

import numpy as np
import pytest
from helpers.cuhk_sysu_files import write_test_set, write_tiny_cuhk_sysu
from helpers.search_cases import random_annotations, random_galleries
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

from mmps.formats import load_scenes, mat, scene_files
from mmps.formats.cuhk_sysu import CUHKSYSUFiles, Entry, Search, whole_boxes, write_cuhk_sysu
from mmps.formats.mat import compact, struct_array, write_mat
from mmps.formats.scene_index import to_search_annotations

PEOPLE = {
    's4.jpg': [(1, 1, 5, 5), (2, 2, 0, 9), (3, 3, 9, 0)],
    # every value fits into a byte, the right edge of the first box (330) does not
    's1.jpg': [(250, 10, 80, 90), (1, 2, 3, 4)],
    's10.jpg': [(5, 6, 7, 8)],
    's2.jpg': [(300, 20, 30, 40), (0, 0, 9, 9)],
    's3.jpg': [(10, 10, 20, 30), (50, 60, 70, 80), (10, 10, 20, 30)],
    's5.jpg': [(7, 7, 8, 8), (400, 5, 6, 7)],
    's6.jpg': [],
}
POOL = ['s5.jpg', 's3.jpg', 's6.jpg', 's2.jpg']
TRAIN = [
    [Entry('s10.jpg', (5, 6, 7, 8)), Entry('s1.jpg', (250, 10, 80, 90))],
    [Entry('s4.jpg', (1, 1, 5, 5))],
]
FIRST = Entry('s5.jpg', (400, 5, 6, 7))
SECOND = Entry('s3.jpg', (50, 60, 70, 80))
SEARCHES = [
    Search('p9', FIRST, [Entry('s3.jpg', (10, 10, 20, 30)), Entry('s6.jpg'), Entry('s2.jpg')]),
    Search('p7', SECOND, [Entry('s2.jpg', (300, 20, 30, 40)), Entry('s5.jpg'), Entry('s5.jpg')]),
]


@pytest.fixture
def root(tmp_path):
    """Folder of the data set by hand, with galleries of 50 and 100."""
    protocols = {50: SEARCHES, 100: SEARCHES}
    write_cuhk_sysu(tmp_path, people=PEOPLE, pool=POOL, identities=TRAIN, protocols=protocols)
    return tmp_path


def read(root, test_mode=True, **options):
    """What is read of one split."""
    return CUHKSYSUFiles(root, test_mode, **options).read()


def boxes_of(frame):
    return dict(zip(map(tuple, frame.bboxes.tolist()), frame.person_ids.tolist(), strict=True))


def test_training_split_by_hand(root):
    index = read(root, test_mode=False)
    assert [frame.name for frame in index.frames] == ['s1.jpg', 's10.jpg', 's4.jpg']
    assert index.num_ids == 2
    first, second, third = index.frames
    assert first.bboxes.tolist() == [[250, 10, 330, 100], [1, 2, 4, 6]]
    assert first.bboxes.dtype == np.float32
    assert first.person_ids.tolist() == [0, -1]
    assert second.person_ids.tolist() == [0]
    assert third.person_ids.tolist() == [1, -1, -1]
    assert {frame.camera for frame in index.frames} == {-1}
    assert not index.queries
    assert not index.galleries


def test_a_box_of_two_training_identities_belongs_to_the_last(root):
    write_cuhk_sysu(root, identities=[*TRAIN, [TRAIN[0][0], Entry('s1.jpg', (1, 2, 3, 4))]])
    index = read(root, test_mode=False)
    assert [frame.person_ids.tolist() for frame in index.frames[:2]] == [[0, 2], [2]]
    assert index.num_ids == 3


def test_test_split_by_hand(root):
    index = read(root)
    assert [frame.name for frame in index.frames] == POOL
    assert index.num_ids == 0
    assert boxes_of(index.frames[0]) == {(7, 7, 15, 15): -1, (400, 5, 406, 12): 1}
    # the same box twice: the first person of it is the one that has the id
    assert index.frames[1].person_ids.tolist() == [1, 2, -1]
    assert index.frames[2].bboxes.shape == (0, 4)
    assert index.frames[3].person_ids.tolist() == [2, -1]
    first, second = index.queries
    assert (first.image_name, first.person_id) == ('s5.jpg', 1)
    assert first.bbox.tolist() == [400, 5, 406, 12]
    assert (second.image_name, second.person_id) == ('s3.jpg', 2)
    (gallery,) = index.galleries.values()
    assert list(index.galleries) == [100]
    assert gallery.splits.tolist() == [0, 3, 6]
    assert gallery.images.tolist() == [1, 2, 3, 3, 0, 0]
    assert gallery.positives.tolist() == [0, 3]
    assert gallery.bboxes.tolist() == [[10, 10, 30, 40], [300, 20, 330, 60]]
    assert gallery.queries.tolist() == [0, 1]


def test_boxes_without_area_are_taken_out(root):
    index, removed = load_scenes(CUHKSYSUFiles(root))
    assert index.frames[2].bboxes.tolist() == [[1, 1, 6, 6]]
    images = root / 'annotation/Images.mat'
    assert removed == [f'{images}: s4.jpg (row 1)', f'{images}: s4.jpg (row 2)']


def test_sums_of_bytes_and_words_do_not_wrap_around(root):
    image = loadmat(root / 'annotation/Images.mat')['Img'].ravel()[1]
    stored = image['box'].ravel()[0]['idlocate']
    assert stored.dtype == np.uint8
    assert (stored[:, :2] + stored[:, 2:]).tolist() == [[330 - 256, 100]]
    assert whole_boxes(stored).tolist() == [[250, 10, 330, 100]]
    words = np.array([[65535, 0, 1, 1]], np.uint16)
    assert whole_boxes(words).tolist() == [[65535, 0, 65536, 1]]


def test_fractions_are_cut_off_before_corners_are_added():
    # 1.6 + 2.6 = 4.2, but 1 + 2 = 3
    assert whole_boxes(np.array([[1.6, -0.5, 2.6, 3.9]])).tolist() == [[1, 0, 3, 3]]


def test_all_sizes_have_the_same_queries(root):
    write_cuhk_sysu(root, protocols={500: SEARCHES})
    index = read(root, gallery_sizes=(500, 50))
    assert list(index.galleries) == [500, 50]
    assert [gallery.queries.tolist() for gallery in index.galleries.values()] == [[0, 1]] * 2
    assert 'TestG500.mat' in index.queries[0].source


def test_subsets_share_queries_and_add_others(root):
    positive = Entry('s5.jpg', (400, 5, 6, 7))
    labelled = Search('p9', Entry('s3.jpg', (10, 10, 20, 30)), [positive])
    nobody = Search('p8', Entry('s2.jpg', (0, 0, 9, 9)), [Entry('s5.jpg')])
    write_cuhk_sysu(root, protocols={'occlusion': [SEARCHES[1], labelled]})
    write_cuhk_sysu(root, protocols={'resolution': [nobody, labelled, SEARCHES[0]]})
    index = read(root, subsets=('occlusion', 'resolution'))
    assert index.galleries[100].queries.tolist() == [0, 1]
    assert index.galleries['occlusion'].queries.tolist() == [1, 2]
    assert index.galleries['resolution'].queries.tolist() == [3, 2, 0]
    assert [query.image_name for query in index.queries] == ['s5.jpg', 's3.jpg', 's3.jpg', 's2.jpg']
    # the third query is another box of the first identity, the fourth is of none
    assert [query.person_id for query in index.queries] == [1, 2, 1, 3]
    assert index.galleries['occlusion'].splits.tolist() == [0, 3, 4]


def test_searches_for_one_person_have_one_id(root):
    """As where every appearance of a person is a query once."""
    back = Search('p9', Entry('s3.jpg', (10, 10, 20, 30)), [FIRST])
    write_cuhk_sysu(root, protocols={50: [*SEARCHES, back]})
    index = read(root, gallery_sizes=(50,))
    assert [query.person_id for query in index.queries] == [1, 2, 1]
    assert boxes_of(index.frames[0])[400, 5, 406, 12] == 1


def test_ids_come_from_the_smallest_size_or_else_the_first(root):
    write_cuhk_sysu(root, protocols={100: SEARCHES[::-1]})
    ids = {query.image_name: query.person_id for query in read(root).queries}
    assert ids == {'s5.jpg': 1, 's3.jpg': 2}
    (root / 'annotation/test/train_test/TestG50.mat').unlink()
    ids = {query.image_name: query.person_id for query in read(root).queries}
    assert ids == {'s5.jpg': 2, 's3.jpg': 1}


def test_a_search_without_a_gallery(root):
    write_cuhk_sysu(root, protocols={50: [Search('p1', FIRST, []), SEARCHES[1]]})
    index = read(root, gallery_sizes=(50,))
    assert index.galleries[50].splits.tolist() == [0, 0, 3]


def test_every_file_that_is_read_is_a_source(root, monkeypatch):
    opened, original = set(), mat._opened

    def spy(path):
        opened.add(path)
        return original(path)

    monkeypatch.setattr(mat, '_opened', spy)
    for name in ('occlusion', 'resolution'):
        write_cuhk_sysu(root, protocols={name: SEARCHES})
    for files in (
        CUHKSYSUFiles(root),
        CUHKSYSUFiles(root, True),
        CUHKSYSUFiles(root, True, (100, 50), ('resolution', 'occlusion')),
    ):
        opened.clear()
        files.read()
        assert opened == set(files.sources())
        assert len(files.sources()) == len(set(files.sources()))


def test_options_of_a_config(root):
    config = dict(type='CUHKSYSUDataset', data_root=str(root), test_mode=True)
    assert scene_files(config) == CUHKSYSUFiles(root, True, (100,), ())
    config.update(gallery_sizes=[50, 100], subsets=['occlusion'])
    assert scene_files(config) == CUHKSYSUFiles(root, True, (50, 100), ('occlusion',))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(gallery_sizes=()), 'gallery_sizes: .* at least one'),
        (dict(gallery_sizes=(50, 50)), 'gallery_sizes: .* each size once'),
        (dict(subsets=('night',)), "subsets: .*choose from .*'occlusion', 'resolution'"),
        (dict(subsets=('occlusion', 'occlusion')), 'subsets: .*each once'),
    ],
)
def test_senseless_options(root, options, message):
    with pytest.raises(ValueError, match=message):
        CUHKSYSUFiles(root, True, **options)


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_any_test_set_survives_its_files(seed):
    rng = np.random.default_rng(seed)
    wanted = random_annotations(rng, images=9, people=6, queries=7, gallery=5)
    wanted.galleries['occlusion'] = random_galleries(rng, wanted, 12)
    with tempfile.TemporaryDirectory() as folder:
        files = CUHKSYSUFiles(write_test_set(folder, wanted), True, (5,), ('occlusion',))
        found = to_search_annotations(files.read())
    assert found.image_names == wanted.image_names
    np.testing.assert_array_equal(found.box_splits, wanted.box_splits)
    np.testing.assert_array_equal(found.bboxes, wanted.bboxes)
    for name, gallery in wanted.galleries.items():
        again = found.galleries[name]
        np.testing.assert_array_equal(again.splits, gallery.splits)
        np.testing.assert_array_equal(again.images, gallery.images)
        np.testing.assert_array_equal(again.positives, gallery.positives)
        np.testing.assert_array_equal(again.bboxes, gallery.bboxes)
        np.testing.assert_array_equal(found.query_images[again.queries], wanted.query_images)
        np.testing.assert_array_equal(found.query_bboxes[again.queries], wanted.query_bboxes)


def test_the_tiny_set_with_every_trap(tmp_path):
    root = write_tiny_cuhk_sysu(tmp_path, traps=True)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        train, removed = load_scenes(CUHKSYSUFiles(root))
        test, removed_test = load_scenes(
            CUHKSYSUFiles(root, True, (100, 50, 4000), ('occlusion', 'resolution'))
        )
    assert (len(removed), len(removed_test)) == (2, 2)
    assert (len(train.frames), train.num_ids, len(test.frames)) == (4, 5, 6)
    gallery, names = test.galleries[100], [frame.name for frame in test.frames]
    entries = [gallery.images[a:b].tolist() for a, b in itertools.pairwise(gallery.splits)]
    assert entries[0][0] == names.index(test.queries[0].image_name)
    assert [len(set(own)) - len(own) for own in entries] == [0, -1, -1, 0, 0]
    assert entries[3] == []
    assert len(test.queries) == 6
    assert test.galleries['occlusion'].queries.tolist() == [0, 5]
    assert test.galleries['resolution'].queries.tolist() == [4]
    assert [query.person_id for query in test.queries] == [1, 2, 3, 4, 5, 2]


@pytest.mark.parametrize(
    ('name', 'test_mode'),
    [('Images', False), ('pool', True), ('Train', False), ('TestG100', True)],
)
def test_a_missing_file_is_named(root, name, test_mode):
    next(root.rglob(f'{name}.mat')).unlink()
    with pytest.raises(FileNotFoundError, match=f'{name}.mat: this file .* is missing'):
        read(root, test_mode)


def test_a_missing_subset_is_named(root):
    with pytest.raises(FileNotFoundError, match='subset/Occlusion.mat'):
        read(root, subsets=('occlusion',))


BOX, FLAT = (400, 5, 6, 7), (400, 5, 0, 7)


@pytest.mark.parametrize(
    ('search', 'message'),
    [
        (Search('p', Entry('s5.jpg'), []), r'Query, row 1 \(counted from 0\) has no box'),
        (Search('p', Entry('s5.jpg', (1, 2, 3)), []), 'Query, row 1, entry 0 .* of 3 numbers'),
        (Search('p', Entry('s5.jpg', FLAT), []), 'Query, row 1, entry 0 .* no area'),
        (
            Search('p', FIRST, [Entry('s6.jpg'), Entry('s9.jpg')]),
            "Gallery, row 1, entry 1 .* the image 's9.jpg', which is not among the 4 test images",
        ),
        (Search('p', FIRST, [Entry('s6.jpg', BOX), Entry('s2.jpg', FLAT)]), 'row 1, entry 1.*area'),
        (Search('p', FIRST, [Entry('s6.jpg', (1, 2, 3, 4, 5))]), 'row 1, entry 0 .* 5 numbers'),
        (Search('p', FIRST, [Entry('s6.jpg', (1, 2, np.nan, 4))]), 'row 1, entry 0 .* nan'),
    ],
)
def test_an_impossible_search_names_file_and_row(root, search, message):
    write_cuhk_sysu(root, protocols={100: [SEARCHES[0], search]})
    with pytest.raises(ValueError, match=f'TestG100.mat: .*{message}'):
        read(root)


def test_a_query_outside_the_test_images(root):
    write_cuhk_sysu(root, protocols={100: [Search('p', Entry('s1.jpg', (1, 2, 3, 4)), [])]})
    with pytest.raises(ValueError, match=r"TestG100.mat: Query, row 0 .*'s1.jpg' is not among"):
        load_scenes(CUHKSYSUFiles(root, True))


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        ([*POOL, 's5.jpg'], r"row 4 \(counted from 0\) repeats 's5.jpg'"),
        ([*POOL, 's77.jpg'], r"row 4 \(counted from 0\), 's77.jpg', is not in Images.mat"),
    ],
)
def test_bad_pools(root, names, message):
    write_cuhk_sysu(root, pool=names)
    with pytest.raises(ValueError, match=f'pool.mat: {message}'):
        read(root)


def test_bad_images(root):
    write_cuhk_sysu(root, people={**PEOPLE, 's7.jpg': [(1, 2, 3, 4, 5)]})
    with pytest.raises(ValueError, match=r'Images.mat: Img, row 7 .* not of the form'):
        read(root)
    path = root / 'annotation/Images.mat'
    row = 'a.jpg', compact([0]), np.empty((0, 0))
    write_mat(path, Img=struct_array(('imname', 'nAppear', 'box'), [row, row]))
    with pytest.raises(ValueError, match=r"Images.mat: Img, row 1 .* repeats 'a.jpg'"):
        read(root)
    savemat(path, {'Img': np.arange(4)})
    with pytest.raises(ValueError, match=r'Images.mat: Img holds int64 values, not structs'):
        read(root)


def test_bad_identities(root):
    write_cuhk_sysu(root, identities=[*TRAIN, [Entry('s4.jpg')]])
    with pytest.raises(ValueError, match=r'Train.mat: row 2 \(counted from 0\) is not of the form'):
        read(root, test_mode=False)
    savemat(root / 'annotation/test/train_test/Train.mat', {'Train': np.arange(3)})
    with pytest.raises(ValueError, match=r'Train.mat: row 0 \(counted from 0\) is not of the form'):
        read(root, test_mode=False)


@pytest.mark.parametrize('entry', [Entry('s4.jpg', (1, 1, 5, 6)), SECOND])
def test_labelled_boxes_that_nobody_has(root, entry):
    """The wrong box, or an image of the other split."""
    write_cuhk_sysu(root, identities=[*TRAIN, [entry]])
    with pytest.raises(
        ValueError, match=r'Train.mat: 1 of 4 labelled boxes .*row 2 .*one data set'
    ):
        read(root, test_mode=False)
    write_cuhk_sysu(root, identities=[*TRAIN, [entry], *[TRAIN[1]] * 100])
    with pytest.warns(UserWarning, match='Train.mat: 1 of 104 labelled boxes .* stay unlabelled'):
        index = read(root, test_mode=False)
    assert index.num_ids == 103


def test_files_of_different_data_sets(root):
    write_cuhk_sysu(root, people={name: [(9, 9, 9, 9)] for name in PEOPLE})
    with pytest.raises(ValueError, match='TestG50.mat: 4 of 4 labelled boxes .* Images.mat'):
        read(root)


@pytest.mark.parametrize('name', ['Images', 'pool', 'Train', 'TestG50', 'TestG100'])
def test_every_truncation_is_a_clear_error(root, name):
    path = next(root.rglob(f'{name}.mat'))
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=f'{name}.mat: '):
            read(root, test_mode=name != 'Train')
