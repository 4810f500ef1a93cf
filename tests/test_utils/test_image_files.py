import cv2
import numpy as np
import pytest
from helpers.picture_files import encoded, exif_block, with_chunk
from PIL import Image

from mmps.utils.image_decoding import decode_upright
from mmps.utils.image_files import _header, is_truncated, read_header


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
    for length in range(signature, len(content), 7):
        assert is_truncated(content[:length]), length
        with pytest.raises(ValueError, match='truncated'):
            decode_upright(content[:length])
    # The last byte of a PNG belongs to a checksum, so that it counts there too.
    assert is_truncated(content[:-1])


def test_a_thumbnail_does_not_hide_a_truncation(image):
    content, thumbnail = encode(image, '.jpg'), encode(image[:8, :8], '.jpg')
    segment = b'\xff\xe1' + (len(thumbnail) + 2).to_bytes(2, 'big') + thumbnail
    content = content[:2] + segment + content[2:]
    assert not is_truncated(content)
    for length in range(len(segment) + 2, len(content), 7):
        with pytest.raises(ValueError, match='truncated|damaged'):
            decode_upright(content[:length])


def test_other_kinds_of_file_are_left_to_the_decoder(image):
    content = encode(image, '.bmp')
    assert not is_truncated(content)
    assert not is_truncated(content[:100])


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.bmp'])
def test_headers(tmp_path, image, suffix):
    path = tmp_path / f'a{suffix}'
    with pytest.raises(FileNotFoundError, match='no such image'):
        read_header(path)
    path.write_bytes(encode(image, suffix))
    header = read_header(path)
    assert (header.width, header.height, header.turned) == (80, 60, False)
    path.write_text('no image')
    with pytest.raises(ValueError, match=f'a{suffix}: not an image of a known kind'):
        read_header(path)


def test_the_middle_of_a_png_file_is_not_read(tmp_path, image):
    """What stands behind the pixels is found from the end: headers come from slow file systems."""
    large = cv2.resize(image, (1200, 900), interpolation=cv2.INTER_CUBIC)
    noisy = large ^ np.random.default_rng(1).integers(0, 64, large.shape, np.uint8)
    path = tmp_path / 'large.png'
    for content in (encode(noisy, '.png'), encoded(Image.fromarray(noisy), 'PNG')):
        path.write_bytes(with_chunk(content, b'eXIf', exif_block(6)[6:], behind_pixels=True))
        with open(path, 'rb', buffering=0) as file:
            counting = CountingFile(file)
            header = _header(counting, 'large.png')
        assert (header.width, header.height, header.orientation) == (900, 1200, 6)
        assert counting.count < 2**18 < len(content) // 4


class CountingFile:
    """Passes on what is read of a file, and counts it."""

    def __init__(self, file):
        self.count, self.seek, self.tell, self._file = 0, file.seek, file.tell, file

    def read(self, size=-1):
        content = self._file.read(size)
        self.count += len(content)
        return content
