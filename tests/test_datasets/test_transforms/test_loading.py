import cv2
import numpy as np
import pytest

from mmps.datasets.transforms import BrokenImageError, LoadSceneImage
from mmps.datasets.transforms.loading import is_truncated


@pytest.fixture(scope='module')
def image():
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    return cv2.GaussianBlur(noise, (5, 5), 1)


def encode(image, suffix, *parameters):
    return cv2.imencode(suffix, image, parameters)[1].tobytes()


FORMATS = {
    'jpeg': ('.jpg',),
    'progressive': ('.jpg', cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    'restarts': ('.jpg', cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
    'png': ('.png',),
}


@pytest.mark.parametrize('form', FORMATS)
def test_every_truncation_is_noticed(image, form):
    content = encode(image, *FORMATS[form])
    assert not is_truncated(content)
    assert not is_truncated(content + bytes(50))
    signature = 8 if form == 'png' else 3
    for length in range(signature, len(content)):
        # The last byte of a PNG belongs to a checksum, so that it counts there too.
        assert is_truncated(content[:length]), length


def test_thumbnail_does_not_hide_a_truncation(image):
    content, thumbnail = encode(image, '.jpg'), encode(image[:8, :8], '.jpg')
    segment = b'\xff\xe1' + (len(thumbnail) + 2).to_bytes(2, 'big') + thumbnail
    content = content[:2] + segment + content[2:]
    assert not is_truncated(content)
    for length in range(len(segment) + 2, len(content)):
        assert is_truncated(content[:length])


def test_other_kinds_of_file_are_left_to_the_decoder(image):
    content = encode(image, '.bmp')
    assert not is_truncated(content)
    assert not is_truncated(content[:100])


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
