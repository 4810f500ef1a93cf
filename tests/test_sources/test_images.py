import struct
import zlib

import cv2
import numpy as np
import pytest

from mmps.datasets.transforms import LoadSceneImage
from mmps.sources import as_image, read_image
from mmps.visualization import write_image


def scene(number, height=48, width=64):
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)


def png_header(width, height):
    """A PNG file that says how large it is and holds nothing."""

    def chunk(kind, content):
        check = struct.pack('>I', zlib.crc32(kind + content))
        return struct.pack('>I', len(content)) + kind + content + check

    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    data = chunk(b'IDAT', zlib.compress(b'\0' * 1000))
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + data + chunk(b'IEND', b'')


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.bmp', '.webp', '.tif'])
def test_pixels_are_those_of_training_and_testing(tmp_path, suffix):
    path = tmp_path / f'i{suffix}'
    write_image(path, scene(1))
    loaded = LoadSceneImage().transform(dict(img_path=str(path)))['img']
    np.testing.assert_array_equal(read_image(path), loaded)
    np.testing.assert_array_equal(as_image(str(path)), loaded)


def test_grey_and_transparent_images_become_colour(tmp_path):
    cv2.imwrite(str(tmp_path / 'grey.png'), scene(1)[:, :, 0])
    cv2.imwrite(str(tmp_path / 'alpha.png'), np.dstack([scene(1), scene(1)[:, :, 0]]))
    assert read_image(tmp_path / 'grey.png').shape == (48, 64, 3)
    np.testing.assert_array_equal(read_image(tmp_path / 'alpha.png'), scene(1))


def test_a_bomb_is_refused_by_its_header(tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: pytest.fail('decoded'))
    for width, height in ((20_000, 20_000), (10_000, 10_000), (100_000, 1000)):
        (tmp_path / 'bomb.png').write_bytes(png_header(width, height))
        with pytest.raises(ValueError, match='limit|exceeds'):
            read_image(tmp_path / 'bomb.png')
    write_image(tmp_path / 'fine.png', scene(0))
    with pytest.raises(ValueError, match='64 x 48 pixels, more than the limit of 3071'):
        read_image(tmp_path / 'fine.png', max_pixels=3071)


def test_a_large_file_is_not_even_read(tmp_path):
    write_image(tmp_path / 'padded.png', scene(0))
    with open(tmp_path / 'padded.png', 'r+b') as file:
        file.truncate(2**24 + 8 * 4000 + 1)  # sparse
    with pytest.raises(ValueError, match='bytes, more than 4000 pixels take'):
        read_image(tmp_path / 'padded.png', max_pixels=4000)


@pytest.mark.parametrize('suffix', ['.png', '.jpg'])
def test_truncated_images_are_refused(tmp_path, suffix):
    write_image(tmp_path / f'whole{suffix}', scene(0))
    content = (tmp_path / f'whole{suffix}').read_bytes()
    path = tmp_path / f'cut{suffix}'
    for share in (0.1, 0.5, 0.99):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(ValueError, match='truncated|not an image|cannot be read as an image'):
            read_image(path)
    with pytest.raises(ValueError, match=f'^{path}: '):
        as_image(path)


def test_what_is_no_image(tmp_path):
    for content in (b'', b'hello', b'\xff\xd8\xff', b'\x89PNG\r\n\x1a\n', b'GIF89a' + b'\0' * 99):
        (tmp_path / 'no.png').write_bytes(content)
        with pytest.raises(
            ValueError, match='not an image|cannot be read|truncated|decoded|too thin'
        ):
            read_image(tmp_path / 'no.png')


def test_damaged_pixels_do_not_crash(tmp_path):
    """Whatever the bytes are, there is an image of the size in the header, or a ValueError."""
    write_image(tmp_path / 'i.jpg', scene(0))
    content = (tmp_path / 'i.jpg').read_bytes()
    rng, outcomes = np.random.default_rng(0), set()
    for _ in range(200):
        damaged = bytearray(content)
        damaged[rng.integers(2, len(content))] = rng.integers(256)
        (tmp_path / 'd.jpg').write_bytes(damaged)
        try:
            outcomes.add(read_image(tmp_path / 'd.jpg').ndim)
        except ValueError:
            outcomes.add('refused')
    assert outcomes == {3, 'refused'}
