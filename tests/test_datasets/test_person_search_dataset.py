import json
import random

import numpy as np
import pytest
import torch
from helpers.cuhk_sysu_files import write_tiny_cuhk_sysu
from helpers.prw_files import write_tiny_prw
from scipy.io import loadmat, savemat
from torch.utils.data import DataLoader

from mmps.datasets import CocoPersonSearchDataset, CUHKSYSUDataset, PRWDataset, SeededIndex
from mmps.datasets.transforms import BrokenImageError
from mmps.formats.converters.annotated_images import Tally
from mmps.formats.converters.official import convert_split
from mmps.formats.cuhk_sysu import read_images, write_cuhk_sysu
from mmps.formats.loading import read_scenes
from mmps.formats.prw import PRWFiles

LOAD_AND_PACK = [
    dict(type='LoadSceneImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackPersonSearchInputs'),
]


@pytest.fixture
def root(tmp_path):
    return write_tiny_prw(tmp_path / 'PRW', empty_frame=True)


def edit_rows(root, name, change):
    path = root / 'annotations' / f'{name}.mat'
    rows = loadmat(path)['box_new']
    change(rows)
    savemat(path, {'box_new': rows})


def truncate(path):
    path.write_bytes(path.read_bytes()[:-200])


def test_lazy_init_reads_nothing(tmp_path):
    dataset = PRWDataset(data_root=str(tmp_path / 'nowhere'), test_mode=True, lazy_init=True)
    assert dataset.metainfo['classes'] == ('person',)
    assert 'search_annotations' not in dataset.metainfo
    with pytest.raises(FileNotFoundError, match='frame_test.mat.*data_root'):
        dataset.full_init()


def test_entries(root):
    dataset = PRWDataset(data_root=str(root), test_mode=True)
    annotations = dataset.search_annotations
    for position in range(len(dataset)):
        entry = dataset.get_data_info(position)
        assert entry['img_id'] == position
        assert entry['img_name'] == annotations.image_names[position]
        assert entry['cam_id'] == annotations.cameras[position]
        rows = slice(*annotations.box_splits[position : position + 2])
        assert [i['bbox'] for i in entry['instances']] == annotations.bboxes[rows].tolist()
        assert [i['bbox_label'] for i in entry['instances']] == annotations.person_ids[
            rows
        ].tolist()
        assert [i['ignore_flag'] for i in entry['instances']] == [0] * len(entry['instances'])
        queries = np.flatnonzero(annotations.query_images == position)
        assert entry['query_ids'] == queries.tolist()
        assert entry['query_bboxes'] == annotations.query_bboxes[queries].tolist()
    assert entry['instances'] == []


def test_only_a_test_split_carries_the_protocol(root):
    test = PRWDataset(data_root=str(root), test_mode=True)
    assert test.metainfo['search_annotations'].image_names == test.search_annotations.image_names
    train = PRWDataset(data_root=str(root))
    assert 'search_annotations' not in train.metainfo
    assert 'query_ids' not in train.get_data_info(0)
    with pytest.raises(RuntimeError, match='test_mode'):
        train.search_annotations  # noqa: B018


def test_filtering_is_off_by_default(root):
    def unlabel(rows):
        rows[:, 0] = -2

    edit_rows(root, 'c2s1_000001.jpg', unlabel)
    assert len(PRWDataset(data_root=str(root))) == 5
    filtered = PRWDataset(data_root=str(root), filter_cfg=dict(labelled_only=True))
    names = [filtered.get_data_info(i)['img_name'] for i in range(len(filtered))]
    assert names == ['c1s1_000000.jpg', 'c3s1_000002.jpg', 'c4s1_000003.jpg']
    assert [filtered.get_data_info(i)['img_id'] for i in range(3)] == [0, 1, 2]
    assert filtered.num_ids == 5


def test_unknown_filter_is_refused(root):
    with pytest.raises(ValueError, match='filter_empty_gt'):
        PRWDataset(data_root=str(root), filter_cfg=dict(filter_empty_gt=True))


@pytest.mark.parametrize('option', [dict(skip_broken_images=True), dict(indices=2)])
def test_options_that_would_change_the_test_gallery(root, option):
    with pytest.raises(ValueError, match='gallery'):
        PRWDataset(data_root=str(root), test_mode=True, **option)


def test_missing_image_is_found_at_indexing(root):
    (root / 'frames/c2s1_000001.jpg').unlink()
    with pytest.raises(FileNotFoundError, match=r'c2s1_000001\.jpg.*1 of 5.*data_root') as error:
        PRWDataset(data_root=str(root))
    assert str(root) in str(error.value)


def test_missing_image_folder(root):
    with pytest.raises(FileNotFoundError, match='5 of 5'):
        PRWDataset(data_root=str(root), data_prefix=dict(img='images'))


def test_image_listed_twice(root):
    names = loadmat(root / 'frame_train.mat')['img_index_train']
    savemat(root / 'frame_train.mat', {'img_index_train': np.concatenate([names, names[:1]])})
    with pytest.raises(ValueError, match='c1s1_000000.jpg.*twice'):
        PRWDataset(data_root=str(root))


@pytest.mark.parametrize('value', [np.nan, np.inf])
@pytest.mark.parametrize('column', [1, 4])
def test_box_that_is_not_finite_names_file_and_row(root, value, column):
    def spoil(rows):
        rows[2, column] = value

    edit_rows(root, 'c1s1_000000.jpg', spoil)
    with pytest.raises(ValueError, match=r'c1s1_000000\.jpg\.mat: row 2 .*not finite'):
        PRWDataset(data_root=str(root))


@pytest.mark.parametrize('test_mode', [False, True])
def test_boxes_without_area_are_left_out(root, test_mode):
    name = 'c6s1_000005.jpg' if test_mode else 'c1s1_000000.jpg'

    def flatten(rows):
        rows[0, 3] = 0
        rows[2, 4] = -5

    before = PRWDataset(data_root=str(root), test_mode=test_mode).get_data_info(0)['instances']
    edit_rows(root, name, flatten)
    after = PRWDataset(data_root=str(root), test_mode=test_mode).get_data_info(0)['instances']
    assert after == [before[1], before[3]]


def test_the_count_of_boxes_without_area_is_logged_once(root, monkeypatch):
    messages = []
    monkeypatch.setattr(
        'mmps.datasets.person_search_dataset.print_log', lambda text, **_: messages.append(text)
    )

    def flatten(rows):
        rows[:2, 3] = 0

    edit_rows(root, 'c2s1_000001.jpg', flatten)
    PRWDataset(data_root=str(root))
    (message,) = [text for text in messages if 'without area' in text]
    assert 'left out 2 boxes' in message
    assert 'c2s1_000001.jpg.mat (row 0)' in message


OUTSIDE = [(160, 20, 20, 60), (300, 20, 20, 60), (-90, 20, 20, 60), (-20, 20, 20, 60)] + [
    (20, 120, 20, 60),
    (20, 300, 20, 60),
    (20, -90, 20, 60),
    (20, -60, 20, 60),
]
"""x, y, width, height beside pictures of 160 x 120 pixels, on all sides; some touch the edge."""


def prw_with(tmp_path, box):
    root = write_tiny_prw(tmp_path / 'PRW')
    path = root / 'annotations/c1s1_000000.jpg.mat'
    rows = loadmat(path)['box_new']
    savemat(path, {'box_new': np.concatenate([[[-2, *box]], rows]).astype(float)})
    return PRWDataset, dict(data_root=str(root)), str(path)


def coco_with(tmp_path, box):
    root = write_tiny_prw(tmp_path / 'PRW')
    files = PRWFiles(root)
    convert_split(files, root / 'train.json', Tally())
    content = json.loads((root / 'train.json').read_text())
    content['annotations'].insert(0, dict(image_id=1, category_id=1, bbox=box, person_id=-1))
    (root / 'train.json').write_text(json.dumps(content))
    return CocoPersonSearchDataset, dict(data_root=str(root), image_folder='frames'), 'train.json'


def cuhk_sysu_with(tmp_path, box):
    root = write_tiny_cuhk_sysu(tmp_path / 'SYSU', size=(160, 120), train_images=2, num_ids=4)
    people = read_images(root / 'annotation/Images.mat')
    listed = {n: [(*b[:2], *(b[2:] - b[:2])) for b in boxes] for n, boxes in people.items()}
    listed['s1.jpg'].insert(0, tuple(map(float, box)))
    write_cuhk_sysu(root, people=listed)
    return CUHKSYSUDataset, dict(data_root=str(root)), 'Images.mat: s1.jpg'


@pytest.mark.parametrize('box', OUTSIDE)
@pytest.mark.parametrize('layout', [prw_with, coco_with, cuhk_sysu_with])
def test_a_training_box_outside_its_image_is_left_out(tmp_path, monkeypatch, layout, box):
    messages = []
    monkeypatch.setattr(
        'mmps.datasets.person_search_dataset.print_log', lambda text, **_: messages.append(text)
    )
    kind, options, source = layout(tmp_path, box)
    dataset = kind(pipeline=LOAD_AND_PACK, **options)
    (message,) = [text for text in messages if 'left out' in text]
    corners = [float(value) for value in (box[0], box[1], box[0] + box[2], box[1] + box[3])]
    assert 'left out 1 boxes outside their image: ' in message
    assert source in message
    assert str(corners) in message
    assert 'in an image of 160 x 120 pixels' in message
    found = dataset[0]['data_samples'].gt_instances.bboxes
    assert ((found[:, :2] < torch.tensor([160, 120])) & (found[:, 2:] > 0)).all()
    listed = read_scenes(dataset.files)[0].frames[0]
    assert len(found) == len(listed.bboxes) - 1


def test_a_test_box_outside_its_image_stays(tmp_path):
    """Evaluation reads no image, and both ways to evaluate have to ask for the same people."""
    root = write_tiny_prw(tmp_path / 'PRW')
    edit_rows(root, 'c5s1_000004.jpg', lambda rows: rows.__setitem__((0, 1), 500.0))
    dataset = PRWDataset(data_root=str(root), test_mode=True)
    assert [500, 0] in [[int(i['bbox'][0]), 0] for i in dataset.get_data_info(0)['instances']]


@pytest.mark.parametrize(
    ('line', 'problem'),
    [
        ('484 1 2 3 4 c1s1_999999', "'c1s1_999999.jpg' is not among the 5 test images"),
        ('484 1 2 0 4 c6s1_000005', 'has no area'),
        ('484 1 nan 3 4 c6s1_000005', 'is not "id x y'),
        ('484 1 2e6 3 4 c6s1_000005', 'not finite or reaches beyond'),
    ],
)
def test_bad_query_names_its_line(root, line, problem):
    (root / 'query_info.txt').write_text(f'{line}\n')
    with pytest.raises(ValueError, match=f'query_info.txt, line 1: .*{problem}'):
        PRWDataset(data_root=str(root), test_mode=True)


def test_no_frame_at_all(root):
    savemat(root / 'frame_train.mat', {'img_index_train': np.empty((0, 1), object)})
    with pytest.raises(ValueError, match='no image'):
        PRWDataset(data_root=str(root))


@pytest.mark.parametrize('test_mode', [False, True])
def test_truncated_image_stops_by_default(root, test_mode):
    name = 'c6s1_000005.jpg' if test_mode else 'c1s1_000000.jpg'
    truncate(root / 'frames' / name)
    dataset = PRWDataset(data_root=str(root), pipeline=LOAD_AND_PACK, test_mode=test_mode)
    with pytest.raises(OSError, match=f'{name}: truncated'):
        dataset[0]


def test_truncated_image_is_named_through_a_worker_process(root):
    truncate(root / 'frames/c1s1_000000.jpg')
    loader = DataLoader(PRWDataset(data_root=str(root), pipeline=LOAD_AND_PACK), num_workers=1)
    with pytest.raises(BrokenImageError, match='c1s1_000000.jpg: truncated'):
        next(iter(loader))


def test_skipping_broken_images_draws_the_same_replacement(root, monkeypatch):
    messages = []
    monkeypatch.setattr(
        'mmps.datasets.person_search_dataset.print_log', lambda text, **_: messages.append(text)
    )
    for name in ('c1s1_000000.jpg', 'c2s1_000001.jpg'):
        truncate(root / 'frames' / name)

    def drawn(seeds):
        dataset = PRWDataset(data_root=str(root), pipeline=LOAD_AND_PACK, skip_broken_images=True)
        return [dataset[SeededIndex(0, seed)]['data_samples'].img_name for seed in seeds]

    names = drawn(range(20))
    assert set(names) == {'c3s1_000002.jpg', 'c4s1_000003.jpg', 'c5s1_000004.jpg'}
    assert drawn(reversed(range(20))) == names[::-1]
    skipped = [text for text in messages if text.startswith('Skipped')]
    # Two data sets met two broken images each; each says so once, however often it happens.
    assert [text.split(' in this')[0][-1] for text in skipped] == ['1', '2', '1', '2']
    assert {'c1s1_000000' in text for text in skipped} == {True, False}


def test_a_seeded_sample_leaves_the_callers_random_state_alone(root):
    draws = [dict(type='RandomFlip', prob=0.5), dict(type='RandomGaussianNoise')]
    pipeline = [*LOAD_AND_PACK[:2], *draws, LOAD_AND_PACK[2]]
    dataset = PRWDataset(data_root=str(root), pipeline=pipeline)

    def states():
        _, key, position, *_ = np.random.get_state()
        return random.getstate(), key.tolist(), position, torch.get_rng_state().tolist()

    before = states()
    dataset[SeededIndex(0, 7)]
    assert states() == before
    dataset[0]
    assert states() != before


def test_sizes_are_read_when_asked_for(root):
    import cv2

    portrait = root / 'frames/c2s1_000001.jpg'
    cv2.imwrite(str(portrait), np.zeros((90, 70, 3), np.uint8))
    assert 'width' not in PRWDataset(data_root=str(root)).get_data_info(0)
    dataset = PRWDataset(data_root=str(root), with_sizes=True)
    entries = [dataset.get_data_info(position) for position in range(len(dataset))]
    found = {entry['img_name']: (entry['width'], entry['height']) for entry in entries}
    assert found.pop(portrait.name) == (70, 90)
    assert set(found.values()) == {(160, 120)}


def test_sizes_of_broken_images(root):
    truncate(root / 'frames/c1s1_000000.jpg')
    with pytest.raises(ValueError, match='c1s1_000000.jpg: truncated'):
        PRWDataset(data_root=str(root), with_sizes=True)
    dataset = PRWDataset(data_root=str(root), with_sizes=True, skip_broken_images=True)
    assert dataset.get_data_info(0)['width'] == 0
    assert dataset.get_data_info(1)['width'] == 160
