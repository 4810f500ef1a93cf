"""Every kind of picture that is read: turned, cut short, damaged, of more than eight bits."""

import io
import struct

import cv2
import numpy as np
import pytest
from helpers.picture_files import (
    TURNED,
    encoded,
    exif_block,
    person_picture,
    share_of_red,
    turned_file,
    with_chunk,
    with_segments,
    with_webp_exif,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from mmps.datasets.transforms import BrokenImageError, LoadSceneImage
from mmps.sources import decode_image, read_image
from mmps.utils import image_files
from mmps.utils.image_files import (
    _header,
    decode_upright,
    header_of,
    is_truncated,
    open_image,
    read_header,
)

BOX = (20, 90, 60, 150)
UPRIGHT = person_picture(BOX, 96, 160)
PATTERN = np.kron(
    np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8), np.ones((8, 8, 1), np.uint8)
)
"""(96, 160, 3) squares of which no turned one looks like another."""


def pillow_upright(content):
    """(h, w, 3) BGR, what every viewer shows."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    return np.asarray(image.convert('RGB'))[:, :, ::-1]


def load(path):
    return LoadSceneImage().transform(dict(img_path=str(path)))['img']


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('container', TURNED)
def test_size_and_pixels_are_those_of_the_picture_upright(tmp_path, container, orientation):
    path = tmp_path / 'photo'
    path.write_bytes(turned_file(UPRIGHT, container, orientation))
    header = read_header(path)
    assert (header.width, header.height) == (96, 160)
    assert header.turned == (orientation != 1 and container != 'heic')  # libheif turns by itself
    for image in (read_image(path), load(path)):
        assert image.shape == (160, 96, 3)
        x1, y1, x2, y2 = BOX
        assert share_of_red(image[y1:y2, x1:x2, ::-1]) > 0.98
        assert share_of_red(image[:80, :, ::-1]) < 0.01
        assert np.abs(image.astype(int) - pillow_upright(path.read_bytes())).mean() < 2


@given(
    orientation=st.integers(0, 20),
    code=st.sampled_from('HIhifd'),
    order=st.sampled_from('<>'),
    container=st.sampled_from(['jpeg', 'png', 'webp']),
)
@settings(max_examples=60, deadline=None)
def test_orientation_in_whatever_type_of_number(orientation, code, order, container):
    block = exif_block(orientation, code, order)
    image = Image.fromarray(PATTERN)
    content = {
        'jpeg': lambda: with_segments(encoded(image, 'JPEG', quality=95), block),
        'png': lambda: with_chunk(encoded(image, 'PNG'), b'eXIf', block[6:]),
        'webp': lambda: encoded(image, 'WEBP', lossless=True, exif=block),
    }[container]()
    expected = pillow_upright(content)
    header, decoded = header_of(content), decode_image(content)
    assert decoded.shape == expected.shape == (header.height, header.width, 3)
    assert np.abs(decoded.astype(int) - expected).mean() < 2


def whole_block():
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = 'somebody who makes cameras'
    exif[0x8769] = {0x9003: '2026:03:01 12:00:00', 0x9286: b'a comment'}
    return exif.tobytes()


WHOLE = whole_block()
damaged_blocks = st.one_of(
    st.just(b'Exif\0\0'),
    st.binary(max_size=80).map(lambda noise: b'Exif\0\0' + noise),
    st.integers(6, len(WHOLE)).map(lambda length: WHOLE[:length]),
    st.lists(
        st.tuples(st.integers(6, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=8
    ).map(lambda changes: bytes(dict(changes).get(i, byte) for i, byte in enumerate(WHOLE))),
)


@given(block=damaged_blocks, container=st.sampled_from(['jpeg', 'png', 'png checksum', 'webp']))
@settings(max_examples=150, deadline=None)
@pytest.mark.filterwarnings('ignore::UserWarning')  # Pillow's, of the damage
def test_a_damaged_exif_block_does_not_cost_the_picture(block, container):
    image = Image.fromarray(PATTERN)
    content = {
        'jpeg': lambda: with_segments(encoded(image, 'JPEG', quality=95), block),
        'png': lambda: with_chunk(encoded(image, 'PNG'), b'eXIf', block[6:]),
        'png checksum': lambda: with_chunk(encoded(image, 'PNG'), b'eXIf', WHOLE[6:]).replace(
            WHOLE[6:], block[6:].ljust(len(WHOLE) - 6, b'\1')[: len(WHOLE) - 6]
        ),
        'webp': lambda: with_webp_exif(
            encoded(image, 'WEBP', lossless=True, exif=WHOLE), block[6:]
        ),
    }[container]()
    header, decoded = header_of(content), decode_image(content)
    try:
        expected = pillow_upright(content)
    except Exception:  # Pillow gives up the picture; its orientation may be whole all the same
        expected = pillow_upright(encoded(image, 'PNG', exif=exif_block(header.orientation)))
    assert decoded.shape == expected.shape == (header.height, header.width, 3)
    assert np.abs(decoded.astype(int) - expected).mean() < 15  # JPEG blurs edges; turned: 85


@pytest.mark.parametrize('block', [b'Exif\0\0garbage' * 3, b'Exif\0\0' + b'XX' + WHOLE[8:]])
def test_damaged_exif_everywhere(tmp_path, block):
    """Search, training and the report of a data set alike."""
    path = tmp_path / 'a.jpg'
    path.write_bytes(with_segments(encoded(Image.fromarray(PATTERN), 'JPEG', quality=95), block))
    assert (read_header(path).width, read_header(path).turned) == (160, False)
    np.testing.assert_array_equal(read_image(path), load(path))
    assert not isinstance(open_image(path, decode=True), Exception)


def jpeg_kinds():
    picture = Image.fromarray(
        cv2.GaussianBlur(
            np.random.default_rng(1).integers(0, 256, (240, 320, 3), np.uint8), (7, 7), 2
        )
    )
    for subsampling in (0, 2):
        for progressive in (False, True):
            for restarts in (0, 1):
                options = dict(
                    subsampling=subsampling, progressive=progressive, restart_marker_rows=restarts
                )
                yield encoded(picture, 'JPEG', quality=90, **options)
    yield encoded(picture.convert('L'), 'JPEG', quality=90)
    yield encoded(picture.convert('CMYK'), 'JPEG', quality=90)


JPEGS = list(jpeg_kinds())


@pytest.mark.parametrize('kind', range(len(JPEGS)))
@pytest.mark.parametrize('fill', ['zeros', 'ones', 'noise', 'gone'])
def test_a_hole_in_a_jpeg_is_told(tmp_path, kind, fill):
    whole = JPEGS[kind]
    path = tmp_path / 'a.jpg'
    for start in (0.35, 0.5, 0.75):
        at, length = int(start * len(whole)), len(whole) // 10
        patch = {
            'zeros': bytes(length),
            'ones': b'\xff' * length,
            'noise': np.random.default_rng(at).bytes(length),
            'gone': b'',
        }[fill]
        path.write_bytes(whole[:at] + patch + whole[at + length :])
        with pytest.raises(ValueError, match='JPEG data are damaged|truncated'):
            read_image(path)
        with pytest.raises(BrokenImageError, match=r'a\.jpg.*(JPEG data are damaged|truncated)'):
            load(path)
        assert isinstance(open_image(path, decode=True), ValueError)


@pytest.mark.parametrize('kind', range(len(JPEGS)))
def test_whole_jpegs_are_read_as_opencv_reads_them(tmp_path, kind):
    whole = JPEGS[kind]
    for content in (whole, whole + bytes(99), whole + whole, whole[:-2] + bytes(4) + whole[-2:]):
        expected = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(decode_image(content), expected)


def test_bytes_between_the_segments_of_a_jpeg_are_no_damage():
    whole = with_segments(JPEGS[0], exif_block(6))
    place = 4 + int.from_bytes(whole[4:6], 'big')
    expected = decode_image(whole)
    assert expected.shape == (320, 240, 3)
    np.testing.assert_array_equal(decode_image(whole[:place] + b'abc' + whole[place:]), expected)


@pytest.mark.parametrize('bits', range(8, 17))
@pytest.mark.parametrize(
    ('suffix', 'colour'),
    [
        ('.png', True),
        ('.png', False),
        ('.tif', True),
        ('.tif', False),
        ('.ppm', True),
        ('.pgm', False),
    ],
)
def test_sensors_of_more_than_eight_bits_are_scaled(tmp_path, bits, suffix, colour):
    eight = PATTERN.copy() if colour else PATTERN[:, :, 0].copy()
    eight[0, 0] = 255
    deep = eight.astype(np.uint16) << (bits - 8)
    path = tmp_path / f'sensor{suffix}'
    path.write_bytes(cv2.imencode(suffix, deep)[1].tobytes())
    expected = eight if colour else np.repeat(eight[:, :, None], 3, 2)
    np.testing.assert_array_equal(read_image(path), expected)
    np.testing.assert_array_equal(load(path), expected)


def packed_tiff(grey, bits, orientation):
    """A TIFF file whose pixels take 10, 12 or 14 bits each, as no encoder here writes it."""
    lines = (''.join(f'{value:0{bits}b}' for value in line) for line in grey)
    data = b''.join(int(line, 2).to_bytes(len(line) // 8, 'big') for line in lines)
    height, width = grey.shape
    values = {256: width, 257: height, 258: bits, 259: 1, 262: 1, 273: 134, 274: orientation}
    values |= {277: 1, 278: height, 279: len(data)}
    entries = b''.join(struct.pack('<HHII', tag, 4, 1, value) for tag, value in values.items())
    head = b'II*\0' + struct.pack('<IH', 8, len(values)) + entries + bytes(4)
    return head + data


@pytest.mark.parametrize('bits', [10, 12, 14])
@pytest.mark.parametrize('orientation', [1, 6])
def test_packed_tiffs(bits, orientation):
    grey = PATTERN[:, :, 0].copy()
    grey[0, 0] = 255
    content = packed_tiff(grey.astype(int) << (bits - 8), bits, orientation)
    expected = np.repeat(grey[:, :, None], 3, 2)
    expected = np.rot90(expected, -1) if orientation == 6 else expected
    np.testing.assert_array_equal(decode_image(content), expected)


def test_a_deep_picture_is_turned_too(tmp_path):
    deep = PATTERN.astype(np.uint16) << 4
    deep[0, 0] = 4095
    png = cv2.imencode('.png', deep)[1].tobytes()
    turned = decode_image(with_chunk(png, b'eXIf', exif_block(6)[6:]))
    np.testing.assert_array_equal(turned, np.rot90(decode_image(png), -1))


def test_eight_bits_stay_what_they_are(tmp_path):
    for suffix in ('.png', '.tif', '.bmp', '.ppm', '.webp', '.jp2'):
        for image in (PATTERN // 4, PATTERN[:, :, 0] // 4):
            if suffix == '.ppm' and image.ndim == 2:
                continue
            content = cv2.imencode(suffix, image)[1]
            expected = cv2.imdecode(content, cv2.IMREAD_COLOR)
            np.testing.assert_array_equal(decode_image(content.tobytes()), expected)


def test_heic_without_its_decoder_is_named(tmp_path, monkeypatch):
    path = tmp_path / 'photo.jpg'  # as phones call it when they send it
    path.write_bytes(turned_file(UPRIGHT, 'heic', 1))
    assert read_image(path).shape == (160, 96, 3)
    monkeypatch.setattr(image_files, 'heif_is_known', lambda: False)
    for read in (read_image, read_header, load):
        with pytest.raises((ValueError, OSError), match=r"HEIC photograph.*'mmps\[heic\]'.*JPEG"):
            read(path)


@pytest.mark.parametrize('kind', ['GIF', 'PNG', 'WEBP', 'AVIF'])
def test_an_animation_is_not_one_picture(kind):
    frames = [Image.fromarray(np.roll(PATTERN, 8 * k, 1)) for k in range(3)]
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)
    assert header_of(content).frames == 3
    with pytest.raises(ValueError, match='an animation of 3 pictures; save one of them'):
        decode_image(content)
    assert decode_image(encoded(frames[0], kind)).shape == PATTERN.shape


def test_other_ways_to_load_are_those_of_mmcv(tmp_path):
    path = tmp_path / 'a.jpg'
    path.write_bytes(with_segments(JPEGS[0], exif_block(6)))
    grey = LoadSceneImage(color_type='grayscale').transform(dict(img_path=str(path)))['img']
    assert grey.shape[:2] == (320, 240)
    stored = LoadSceneImage(color_type='color_ignore_orientation')
    assert stored.transform(dict(img_path=str(path)))['img'].shape == (240, 320, 3)
    path.write_bytes(struct.pack('>H', 0xFFD8))
    with pytest.raises(BrokenImageError, match='not an image'):
        load(path)


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
        assert counting.reads < 20  # and not chunk by chunk, which takes 8 to 60 times as long


class CountingFile:
    """Passes on what is read of a file, and counts it."""

    def __init__(self, file):
        self.count, self.reads, self._file = 0, 0, file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size=-1):
        content = self._file.read(size)
        self.count, self.reads = self.count + len(content), self.reads + 1
        return content
