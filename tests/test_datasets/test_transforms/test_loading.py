import cv2
import numpy as np
import pytest

from mmps.datasets.transforms import BrokenImageError, LoadSceneImage


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
    with pytest.raises(BrokenImageError, match='gone.jpg: the file cannot be read'):
        LoadSceneImage()(dict(img_path=str(tmp_path / 'gone.jpg')))
