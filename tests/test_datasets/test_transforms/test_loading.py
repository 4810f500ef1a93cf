import cv2
import numpy as np
import pytest
import torch
from mmdet.datasets.transforms import Resize
from mmdet.structures.bbox import HorizontalBoxes

from mmps.datasets.transforms import BrokenImageError, LoadSceneImage, PackPersonSearchInputs


@pytest.fixture(scope='module')
def image():
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    return cv2.GaussianBlur(noise, (5, 5), 1)


def encode(image, suffix, *parameters):
    return cv2.imencode(suffix, image, parameters)[1].tobytes()


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.bmp'])
def test_loads_what_opencv_loads(tmp_path, image, suffix):
    path = tmp_path / f'scene{suffix}'
    path.write_bytes(encode(image, suffix))
    results = LoadSceneImage().transform(dict(img_path=str(path)))
    np.testing.assert_array_equal(results['img'], cv2.imread(str(path)))
    assert results['img'].dtype == np.uint8
    assert results['img_shape'] == results['ori_shape'] == (60, 80)
    assert LoadSceneImage(to_float32=True)(dict(img_path=str(path)))['img'].dtype == np.float32


@pytest.mark.parametrize(
    ('content', 'problem'),
    [
        (lambda jpeg: jpeg[:-1], 'truncated after'),
        (lambda jpeg: jpeg[: len(jpeg) // 2], 'truncated after'),
        (lambda jpeg: b'<html>not found</html>', 'not an image'),
        (lambda jpeg: b'', '(not an image|cannot be decoded)'),
    ],
)
def test_broken_file_is_named(tmp_path, image, content, problem):
    path = tmp_path / 'scene.jpg'
    path.write_bytes(content(encode(image, '.jpg')))
    with pytest.raises(BrokenImageError, match=f'scene.jpg: .*{problem}') as error:
        LoadSceneImage()(dict(img_path=str(path)))
    assert error.value.path == str(path)
    assert LoadSceneImage(ignore_empty=True)(dict(img_path=str(path))) is None


def test_file_that_vanished(tmp_path):
    with pytest.raises(BrokenImageError, match=r'gone.jpg: .*No such file .*; fetch or unpack'):
        LoadSceneImage()(dict(img_path=str(tmp_path / 'gone.jpg')))


def results(boxes=((1, 2, 3, 4), (5, 6, 8, 9)), ids=(-1, 42), **others):
    return dict(
        img=np.arange(24, dtype=np.uint8).reshape(2, 4, 3),
        img_path='frames/c1s1_000151.jpg',
        img_name='c1s1_000151.jpg',
        img_id=7,
        cam_id=1,
        img_shape=(2, 4),
        gt_bboxes=HorizontalBoxes(np.array(boxes, np.float32).reshape(-1, 4)),
        gt_bboxes_labels=np.array(ids, np.int64),
        gt_ignore_flags=np.zeros(len(ids), bool),
        **others,
    )


def test_labels_become_person_ids():
    packed = PackPersonSearchInputs()(results())
    sample = packed['data_samples']
    assert packed['inputs'].shape == (3, 2, 4)
    assert packed['inputs'][:, 1, 2].tolist() == [18, 19, 20]
    instances = sample.gt_instances
    assert type(instances.bboxes) is torch.Tensor
    assert instances.bboxes.dtype == torch.float32
    assert instances.bboxes.tolist() == [[1, 2, 3, 4], [5, 6, 8, 9]]
    assert instances.person_ids.tolist() == [-1, 42]
    assert instances.labels.tolist() == [0, 0]
    assert instances.person_ids.dtype == instances.labels.dtype == torch.int64
    assert (sample.img_id, sample.cam_id, sample.img_name) == (7, 1, 'c1s1_000151.jpg')
    assert 'query_instances' not in sample
    assert len(sample.ignored_instances) == 0


def test_empty_frame():
    instances = PackPersonSearchInputs()(results(boxes=(), ids=()))['data_samples'].gt_instances
    assert instances.bboxes.shape == (0, 4)
    assert instances.person_ids.shape == instances.labels.shape == (0,)


@pytest.mark.parametrize(('ids', 'boxes'), [([4, 9], [[1, 2, 3, 4], [5, 6, 7, 8]]), ([], [])])
def test_queries(ids, boxes):
    packed = PackPersonSearchInputs()(results(query_ids=ids, query_bboxes=boxes))
    queries = packed['data_samples'].query_instances
    assert queries.query_ids.tolist() == ids
    assert queries.query_ids.dtype == torch.int64
    assert queries.bboxes.dtype == torch.float32
    assert queries.bboxes.shape == (len(ids), 4)
    assert queries.bboxes.tolist() == boxes


def test_an_image_without_annotations_can_be_packed():
    bare = {key: value for key, value in results().items() if not key.startswith('gt_')}
    assert 'person_ids' not in PackPersonSearchInputs()(bare)['data_samples'].gt_instances


@pytest.mark.parametrize('ids', [np.array([1]), np.array([1.0, 2.0])])
def test_lost_alignment_is_refused(ids):
    broken = results() | dict(gt_bboxes_labels=ids)
    with pytest.raises(ValueError, match='c1s1_000151.jpg: 2 boxes, but'):
        PackPersonSearchInputs()(broken)


@pytest.mark.parametrize('boxes', [np.asarray, HorizontalBoxes])
def test_what_resizing_left_nothing_of_is_dropped_with_one_warning(monkeypatch, boxes):
    messages = []
    monkeypatch.setattr(
        'mmps.datasets.transforms.print_log', lambda text, **_: messages.append(text)
    )
    corners = np.array([[1, 2, 3, 4], [4, 0, 4, 2], [1, 2, 3, 2], [0, 0, 1, 1]], np.float32)
    pack = PackPersonSearchInputs()
    for _ in range(2):
        before = results(corners, (5, 6, 7, 8)) | dict(gt_bboxes=boxes(corners))
        instances = pack(before)['data_samples'].gt_instances
        assert instances.bboxes.tolist() == [[1, 2, 3, 4], [0, 0, 1, 1]]
        assert instances.person_ids.tolist() == [5, 8]
    assert messages == [
        'frames/c1s1_000151.jpg: left out 2 boxes that have no area in the 4 x 2 pixels to train '
        'on, the first [4.0, 0.0, 4.0, 2.0] (x1, y1, x2, y2)'
    ]


def test_a_sliver_that_resizing_takes_away():
    """0.00001 pixels of the box are inside at full size, and none at a third of it."""
    resize = Resize(scale=(320, 240), keep_ratio=True)
    corners = np.array([[959.99999, 20, 990, 90], [10, 20, 90, 200]], np.float32)
    scene = results(corners, (5, 6)) | dict(img=np.zeros((720, 960, 3), np.uint8))
    sample = PackPersonSearchInputs()(resize(scene))['data_samples']
    assert sample.gt_instances.person_ids.tolist() == [6]


def test_a_test_image_keeps_all_that_is_to_be_found():
    instances = PackPersonSearchInputs()(
        results([[1, 2, 1, 4]], [5], query_ids=[], query_bboxes=[])
    )['data_samples'].gt_instances
    assert instances.person_ids.tolist() == [5]
