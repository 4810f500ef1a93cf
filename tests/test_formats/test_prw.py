import numpy as np
import pytest
from helpers.prw_files import write_tiny_prw
from helpers.scene_indices import assert_same_index
from scipy.io import loadmat, savemat

from mmps.formats.prw import (
    PRWFiles,
    frame_boxes,
    query_box,
    read_frame,
    read_frame_names,
    read_ids,
    read_queries,
)
from mmps.formats.scene_index import training_index

NAME = 'c3s2_000151.jpg'


@pytest.fixture
def root(tmp_path):
    return write_tiny_prw(tmp_path / 'PRW')


def write_rows(folder, rows, key='box_new', **others):
    folder.mkdir(parents=True, exist_ok=True)
    content = {key: np.array(rows, np.float64).reshape(-1, 5), **others}
    savemat(folder / f'{NAME}.mat', content)
    return folder


def test_train_ids_are_ranks_in_sorted_id_train(tmp_path):
    # The official ids: 1..483 without 479, and 932. They must fill 0..482 without a gap.
    raw = [932, *(i for i in range(483, 0, -1) if i != 479)]
    savemat(tmp_path / 'ID_train.mat', {'ID_train': np.array([raw], np.float64)})
    ids = read_ids(tmp_path / 'ID_train.mat')
    rows = [[i, 1, 2, 3, 4] for i in (1, 478, -2, 480, 483, 932, -1)]
    folder = write_rows(tmp_path / 'annotations', rows)
    index = training_index([read_frame(folder, NAME, False)], ids, 'ID_train.mat')
    assert index.frames[0].person_ids.tolist() == [0, 477, -1, 478, 481, 482, -1]
    assert (index.num_ids, index.raw_ids.tolist()) == (483, sorted(raw))
    with pytest.raises(
        ValueError, match=rf'{NAME}\.mat: row 3 .* the id 480, .*3 of ID_train\.mat; add'
    ):
        training_index([read_frame(folder, NAME, False)], [1, 478, 932], 'ID_train.mat')


def test_test_ids_stay_raw(tmp_path):
    folder = write_rows(tmp_path, [[-2, 1, 2, 3, 4], [932, 1, 2, 3, 4], [484, 1, 2, 3, 4]])
    assert read_frame(folder, NAME, True).person_ids.tolist() == [-1, 932, 484]


@pytest.mark.parametrize('bad', [3.5, -3, np.nan])
def test_id_that_is_no_id_is_refused(tmp_path, bad):
    folder = write_rows(tmp_path, [[bad, 1, 2, 3, 4]])
    with pytest.raises(ValueError, match=rf'{NAME}\.mat: row 0 .* has the id'):
        read_frame(folder, NAME, True)


def test_key_order(tmp_path):
    old = np.array([[5, 1, 1, 1, 1.0]])
    older = np.array([[6, 1, 1, 1, 1.0]])
    for keys, wanted in [
        (dict(box_new=[[4, 1, 1, 1, 1.0]], anno_file=old, anno_previous=older), 4),
        (dict(anno_previous=older, anno_file=old), 5),
        (dict(anno_previous=older), 6),
    ]:
        savemat(tmp_path / f'{NAME}.mat', keys)
        assert read_frame(tmp_path, NAME, True).person_ids.tolist() == [wanted]


def test_no_known_key_names_what_is_there(tmp_path):
    savemat(tmp_path / f'{NAME}.mat', {'boxes': np.zeros((1, 5)), 'other': np.zeros(1)})
    with pytest.raises(ValueError, match=rf'{NAME}\.mat: no key box_new or .* but boxes, other'):
        read_frame(tmp_path, NAME, True)


@pytest.mark.parametrize('shape', [(0, 0), (0, 5)])
def test_frame_without_people_is_valid(tmp_path, shape):
    savemat(tmp_path / f'{NAME}.mat', {'box_new': np.zeros(shape)})
    frame = read_frame(tmp_path, NAME, True)
    assert frame.bboxes.shape == (0, 4)
    assert frame.person_ids.shape == (0,)
    assert frame.camera == 3


def test_rows_of_another_shape_are_refused(tmp_path):
    savemat(tmp_path / f'{NAME}.mat', {'box_new': np.zeros((2, 4))})
    with pytest.raises(ValueError, match=rf'{NAME}\.mat: shape \(2, 4\)'):
        read_frame(tmp_path, NAME, True)


def test_frame_boxes_clip_then_add_then_cut():
    # x: -3 -> 0, then 0 + 10.6 -> 10; adding first would give 7. Also 1.6 + 2.6 = 4.2 -> 4,
    # where cutting first would give 1 + 2 = 3.
    boxes = frame_boxes(np.array([[-3.0, 1.6, 10.6, 2.6]]))
    assert boxes.tolist() == [[0, 1, 10, 4]]
    assert boxes.dtype == np.float32


def test_query_box_adds_then_cuts_then_clips():
    # x: -3 + 10.6 = 7.6 -> 7, whereas clipping first would give 10; y1 -0.4 -> 0.
    assert query_box(np.array([-3.0, -0.4, 10.6, 2.6])).tolist() == [0, 0, 7, 2]


def test_cameras(root):
    cameras = PRWFiles(root).read().frames
    assert [frame.camera for frame in cameras] == [1, 2, 3, 4]


@pytest.mark.parametrize('end', ['\r\n', '\n'])
def test_line_ends_of_queries(tmp_path, end):
    lines = ['479 1.5 2 30.25 40 c1s1_000151', '932 -4 -5 30 40 c2s3_001234']
    (tmp_path / 'query_info.txt').write_bytes(''.join(line + end for line in lines).encode())
    first, second = read_queries(tmp_path / 'query_info.txt')
    assert (first.person_id, first.image_name) == (479, 'c1s1_000151.jpg')
    assert first.bbox.tolist() == [1, 2, 31, 42]
    assert (second.person_id, second.image_name) == (932, 'c2s3_001234.jpg')
    assert second.bbox.tolist() == [0, 0, 26, 35]


@pytest.mark.parametrize(
    'line',
    [
        '1 2 3 4 c1s1_1',
        '1 2 3 4 five c1s1_1',
        '1 2 3 4 5 c1s1_1 more',
        '1 2 3 4 1_0 c1s1_1',
        '1 2 3 4 nan c1s1_1',
        'text',
    ],
)
def test_malformed_query_names_its_line(tmp_path, line):
    path = tmp_path / 'query_info.txt'
    path.write_text(f'1 2 3 4 5 c1s1_000001\n{line}\n')
    with pytest.raises(ValueError, match='query_info.txt, line 2: .*image_name'):
        read_queries(path)


@pytest.mark.parametrize('person_id', ['-2', '1.5', '1e12'])
def test_query_of_nobody_is_refused(tmp_path, person_id):
    (tmp_path / 'query_info.txt').write_text(f'{person_id} 2 3 4 5 c1s1_000001\n')
    with pytest.raises(ValueError, match='line 1: .* is not the id of a labelled person'):
        read_queries(tmp_path / 'query_info.txt')


def test_every_truncation_of_a_mat_file_is_a_clear_error(tmp_path):
    folder = write_rows(tmp_path, [[1, 2, 3, 4, 5]])
    path = folder / f'{NAME}.mat'
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=rf'{NAME}\.mat: (cannot be read|no key)'):
            read_frame(tmp_path, NAME, True)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='ID_train.mat: .*data_root'):
        read_ids(tmp_path / 'ID_train.mat')
    with pytest.raises(FileNotFoundError, match='query_info.txt'):
        read_queries(tmp_path / 'query_info.txt')


@pytest.mark.parametrize(
    'cell', ['street_01', 'c1s1_/../../x', np.array([['c1s1_1', 'c1s1_2']]), np.zeros((1, 2)), '']
)
def test_frame_names_that_are_none_are_refused(tmp_path, cell):
    cells = np.empty((2, 1), object)
    cells[:, 0] = ['c1s1_000001', cell]
    path = tmp_path / 'frame_train.mat'
    savemat(path, {'img_index_train': cells})
    with pytest.raises(ValueError, match=r'frame_train\.mat: img_index_train 1 \(counted from 0\)'):
        read_frame_names(path, 'img_index_train')


def test_spaces_around_frame_names_are_left_out(tmp_path):
    cells = np.empty((1, 1), object)
    cells[0, 0] = ' c1s1_000001 '
    savemat(tmp_path / 'f.mat', {'k': cells})
    assert read_frame_names(tmp_path / 'f.mat', 'k') == ['c1s1_000001.jpg']


@pytest.mark.parametrize('ids', [[1, np.nan], [1, 2.5], [-1], [2**31], 'text'])
def test_training_ids_that_are_none_are_refused(tmp_path, ids):
    savemat(tmp_path / 'ID_train.mat', {'ID_train': ids})
    with pytest.raises(ValueError, match=r'ID_train\.mat: ID_train holds something else than ids'):
        read_ids(tmp_path / 'ID_train.mat')


def test_queries_that_are_no_text(tmp_path):
    (tmp_path / 'query_info.txt').write_bytes(b'479 1 2 3 4 c1s1_\xff00151\n')
    with pytest.raises(ValueError, match='query_info.txt: byte 17 is no text'):
        read_queries(tmp_path / 'query_info.txt')


def test_an_index_knows_the_raw_training_ids(root):
    assert PRWFiles(root).read().raw_ids.tolist() == [1, 2, 3, 4, 932]
    assert PRWFiles(root, test_mode=True).read().raw_ids is None


def test_sources_are_the_files_that_are_read(root):
    names = {str(path.relative_to(root)) for path in PRWFiles(root).sources()}
    assert {'frame_train.mat', 'ID_train.mat', 'annotations/c1s1_000000.jpg.mat'} < names
    assert 'query_info.txt' in {path.name for path in PRWFiles(root, True).sources()}
    (root / 'annotations').rename(root / 'elsewhere')
    assert root / 'annotations' in PRWFiles(root).sources()


def test_a_box_that_ends_before_the_image_begins():
    """The field's reading moves it into the image; a training must not learn that."""
    xywh = np.array([[-90, 20, 20, 60], [-20, 20, 20, 60], [-19, 20, 20, 60], [5, -80, 9, 60.5]])
    assert frame_boxes(xywh)[:, [0, 2]].tolist() == [[0, 20], [0, 20], [0, 20], [5, 14]]
    assert frame_boxes(xywh, keep_outside=True).tolist() == [
        [-90, 20, -70, 80],
        [-20, 20, 0, 80],
        [0, 20, 20, 80],
        [5, -80, 14, -19],
    ]


def test_files_of_matlab_4_are_read(tmp_path):
    root = write_tiny_prw(tmp_path / 'PRW')
    wanted = PRWFiles(root).read()
    for path in (root / 'annotations/c1s1_000000.jpg.mat', root / 'ID_train.mat'):
        variables = {k: v for k, v in loadmat(path).items() if not k.startswith('__')}
        savemat(path, variables, format='4')
        assert not path.read_bytes().startswith(b'MATLAB')
    assert_same_index(PRWFiles(root).read(), wanted)
