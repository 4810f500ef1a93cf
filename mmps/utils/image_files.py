"""Image files: what they say before they are decoded (size, orientation, frames, whether they are
whole), and their pixels, upright and of eight bits. One way for all readers.

How a picture is turned is decided here for every container, as Pillow's ``exif_transpose`` decides
it: :func:`header_of` gives the size of the picture upright, and :func:`decode_upright` its pixels.
"""

from __future__ import annotations

import re
import threading
import warnings
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import cv2
import numpy as np

if TYPE_CHECKING:
    from PIL import Image

    _Description = tuple[tuple[int, int], Image.Exif, int]

JPEG_SIGNATURE = b'\xff\xd8\xff'
PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
_SIGNATURES = {
    'jpeg': JPEG_SIGNATURE,
    'png': PNG_SIGNATURE,
    'gif': b'GIF8',
    'tiff': (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+'),
}
_PNG_ENDING = b'\x00\x00\x00\x00IEND\xaeB`\x82'
_ENDINGS = b'\xff\xd9', _PNG_ENDING
_LONGEST_ENDING = 12
# In entropy-coded data 0xFF is followed by 0x00 or a restart marker; any other pair is a marker.
_JPEG_MARKER = re.compile(rb'\xff[\x02-\xcf\xd8-\xfe]')
_JPEG_END, _JPEG_SCAN = 0xD9, 0xDA
_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_EXIF, _JPEG_XMP = b'Exif\0\0', b'http://ns.adobe.com/xap/1.0/\0'
_PNG_TEXTS = (b'Raw profile type exif\0', b'XML:com.adobe.xmp\0')
_PNG_TAIL = 2**17
"""How many bytes at the end of a PNG file are searched for what follows its pixels. The last chunk
of pixels begins there, whether libpng or Pillow wrote the file."""
_HEVC = frozenset((b'heic', b'heix', b'heim', b'heis', b'hevc', b'hevx', b'hevm', b'hevs'))
_EXIF_ORIENTATION, _EXIF_DETAILS = 0x0112, 0x8769
_QUARTER_TURNS = range(5, 9)
_TURNS = {
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: image[::-1].transpose(1, 0, 2),
    7: lambda image: image[::-1, ::-1].transpose(1, 0, 2),
    8: lambda image: image[:, ::-1].transpose(1, 0, 2),
}
_WARNINGS = threading.Lock()

_STORED = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
_DEEP = ('png', 'tiff', '')
"""Kinds that hold sixteen bits as they are; '' has PNM. Others OpenCV turns into eight."""

_HARMLESS = re.compile(r'Unknown Adobe|Warning: unknown JFIF|Invalid SOS param|.*bad ICC marker')
_ANOTHER_KIND = re.compile(r'Unsupported (JPEG|color)|.*not implemented|.*precision')
"""Files that OpenCV may know: of twelve bits, without loss, arithmetically coded."""
_BETWEEN = re.compile(r'Corrupt JPEG data: (\d+) extraneous bytes before marker 0x(..)')
_PADDING = 16
"""Bytes that cameras leave between the pixels of a JPEG file and its end."""

_NEEDS_HEIF = (
    "a HEIC photograph, for which pillow-heif is needed: pip install 'mmps[heic]'; or convert it "
    'to JPEG, e.g. with heif-convert (Debian: libheif-examples)'
)


@dataclass(frozen=True)
class ImageHeader:
    """What is known of an image before it is decoded.

    Attributes:
        width: In pixels, of the picture upright.
        height: In pixels.
        orientation: How the pixels that are stored have to be turned, as EXIF numbers it, 1..8.
        frames: How many pictures follow each other; more than 1 in an animation.
    """

    width: int
    height: int
    orientation: int = 1
    frames: int = 1

    @property
    def turned(self) -> bool:
        """Whether a rotation or reflection makes it upright."""
        return self.orientation != 1


def read_header(path: Path) -> ImageHeader:
    """Read the size and orientation of an image, and check that its file is not cut short.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not an image, or truncated; the message names the file.
    """
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such image')
    with open(path, 'rb') as file:
        header = _header(file, str(path))
        file.seek(-min(_LONGEST_ENDING, path.stat().st_size), 2)
        whole = file.read().endswith(_ENDINGS)
    if not whole and is_truncated(path.read_bytes()):
        raise ValueError(f'{path}: truncated after {path.stat().st_size} bytes')
    return header


def header_of(content: bytes, name: str = 'the image') -> ImageHeader:
    """The size and orientation of an image that is in memory.

    Raises:
        ValueError: Not an image; the message calls it ``name``.
    """
    return _header(BytesIO(content), name)


def is_truncated(content: bytes) -> bool:
    """Whether the bytes of a JPEG or PNG file stop before the image does.

    Where the last bytes are not those of a whole file, the image is decoded. Files of another kind
    are never called truncated.
    """
    if content.endswith(_ENDINGS) or kind_of(content) not in ('jpeg', 'png'):
        return False
    small = cv2.IMREAD_REDUCED_GRAYSCALE_8 | cv2.IMREAD_IGNORE_ORIENTATION
    return cv2.imdecode(np.frombuffer(content, np.uint8), small) is None


def decode_upright(content: bytes) -> np.ndarray:
    """Decode an image as Pillow's ``exif_transpose`` shows it.

    Of sixteen bits become eight by the fewest bits that hold the largest value: a sensor of twelve
    bits fills 0..255, as one of sixteen does. What covers a picture's transparent parts is dropped.

    Returns:
        (h, w, 3) uint8 BGR; for JPEG and PNG the pixels that OpenCV decodes.

    Raises:
        ValueError: The file is truncated, damaged as far as its decoder notices, or not an image.
    """
    kind = kind_of(content)
    try:
        header = header_of(content)
    except ValueError:  # whether it can be decoded all the same, its decoder knows
        header = None
    orientation = header.orientation if header else 1
    tag = _tiff_tag(content) if kind == 'tiff' else None
    if kind == 'jpeg':
        image = _decoded_jpeg(content)
    elif kind == 'heic' and not heif_is_known():
        raise ValueError(_NEEDS_HEIF)
    elif kind == 'heic' or tag not in (None, orientation):
        return _with_pillow(content)
    else:
        image = _with_opencv(content, deep=kind in _DEEP)
        if image is None and kind in ('png', 'webp'):
            raise _undecodable(content)
        if image is None:
            return _with_pillow(content)
        if tag is not None:
            orientation = 1  # OpenCV has turned it
    if orientation in _TURNS:
        image = np.ascontiguousarray(_TURNS[orientation](image))
    if header and image.shape[:2] != (header.height, header.width):
        raise ValueError(f'{header.width} x {header.height} pixels in its header, but others in it')
    return image


def open_image(path: Path, *, decode: bool = False) -> ImageHeader | Exception:
    """The header of an image, or what is wrong with its file; ``decode``: with its pixels, too."""
    try:
        header = read_header(path)
    except (ValueError, OSError) as error:
        return error
    if decode:
        try:
            decode_upright(path.read_bytes())
        except ValueError as error:
            return ValueError(f'{path}: {error}')
    return header


def exif_of(path: Path) -> Image.Exif:
    """The EXIF entries of an image, of a whole block or of none.

    Raises:
        OSError: The file cannot be read.
        ValueError: Not an image.
    """
    with open(path, 'rb') as file:
        _, exif, _ = _described(file, str(path))
        exif.get_ifd(_EXIF_DETAILS)  # while the file is open
        return exif


def kind_of(content: bytes) -> str:
    """``'jpeg'``, ``'png'``, ``'gif'``, ``'tiff'``, ``'webp'``, ``'heic'`` or ``'avif'``, as the
    first bytes (64 suffice) say; ``''`` for another kind.
    """
    for kind, signature in _SIGNATURES.items():
        if content.startswith(signature):
            return kind
    if content.startswith(b'RIFF') and content[8:12] == b'WEBP':
        return 'webp'
    if content[4:8] != b'ftyp':
        return ''
    # HEIC and AVIF are one container with videos; brands say what is in it.
    end = min(int.from_bytes(content[:4], 'big'), len(content))
    brands = {content[start : start + 4] for start in (8, *range(16, end - 3, 4))}
    if brands & {b'avif', b'avis'}:
        return 'avif'
    still = content[8:12] in _HEVC | {b'mif1', b'msf1'}
    return 'heic' if still or brands & {b'heic', b'heix'} else ''


def is_animation(path: Path) -> bool:
    """Whether a file holds several pictures that FFmpeg reads as a video: an animated GIF or PNG,
    or JPEG files one behind the other.
    """
    with open(path, 'rb') as file:
        kind = kind_of(file.read(64))
        if kind in ('gif', 'png'):
            return _header(file, str(path)).frames > 1
        if kind != 'jpeg':
            return False
        file.seek(0)
        content = file.read()
    end = _jpeg_end(content)
    # A photograph may bring others along, in the Multi-Picture Format.
    return content[end : end + 3] == JPEG_SIGNATURE and b'MPF\0' not in content[:end]


def _header(file: BinaryIO, name: str) -> ImageHeader:
    (width, height), exif, frames = _described(file, name)
    # Pillow compares the entry with these, whatever type of number it has.
    said = exif.get(_EXIF_ORIENTATION, 1)
    orientation = next((number for number in range(2, 9) if said == number), 1)
    if orientation in _QUARTER_TURNS:
        width, height = height, width
    return ImageHeader(width, height, orientation, frames)


def _described(file: BinaryIO, name: str) -> _Description:
    """What a file says: size as stored, EXIF entries and how many frames there are."""
    from PIL import UnidentifiedImageError

    file.seek(0)
    kind = kind_of(file.read(64))
    file.seek(0)
    if kind == 'heic' and not heif_is_known():
        raise ValueError(f'{name}: {_NEEDS_HEIF}')
    try:
        return {'jpeg': _jpeg, 'png': _png, 'tiff': _tiff}.get(kind, _any_other)(file)
    except UnidentifiedImageError as error:
        raise ValueError(f'{name}: not an image of a known kind') from error
    except Exception as error:  # a plugin of Pillow's may raise anything on a damaged file
        raise ValueError(f'{name}: cannot be read as an image ({error})') from error


@cache
def heif_is_known() -> bool:
    """Whether Pillow can open HEIC files; teaches it where pillow-heif is installed."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def _any_other(file: BinaryIO) -> _Description:
    from PIL import Image

    with Image.open(file) as image:
        frames = image.n_frames if image.format in ('GIF', 'WEBP', 'AVIF') else 1
        return image.size, _exif_in(image), frames


def _tiff(file: BinaryIO) -> _Description:
    """By the first directory: Pillow knows fewer depths than OpenCV decodes."""
    from PIL import Image, UnidentifiedImageError

    tags = _tiff_tags(file)
    size = int(tags[256]), int(tags[257])
    file.seek(0)
    try:
        with Image.open(file) as image:
            return size, _exif_in(image), 1
    except UnidentifiedImageError:
        exif = Image.Exif()
        if _EXIF_ORIENTATION in tags:
            exif[_EXIF_ORIENTATION] = tags[_EXIF_ORIENTATION]
        return size, exif, 1


def _tiff_tags(file: BinaryIO) -> Mapping[int, Any]:
    """The tags of the first image in a TIFF file, as Pillow reads them."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    file.seek(0)
    start = file.read(8)
    start += file.read(8) if 43 in start[2:4] else b''  # BigTIFF
    tags = ImageFileDirectory_v2(start)
    file.seek(tags.next)
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter('ignore')
        tags.load(file)
    return tags


def _exif_in(image: Image.Image) -> Image.Exif:
    """The EXIF entries of an open image; none where they cannot be read."""
    from PIL import Image

    try:
        with _WARNINGS, warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of entries that make no sense
            exif = Image.Image.getexif(image)  # a PNG file's own would decode it
            exif.get(_EXIF_ORIENTATION)  # read when it is asked for
            return exif
    except Exception:  # damaged EXIF is no reason to refuse the picture
        return Image.Exif()


def _exif_from(info: dict[str, Any]) -> Image.Exif:
    """The EXIF entries in ``info``, as Pillow fills it from a file's parts beside the pixels."""
    from PIL import Image

    if not info:
        return Image.Exif()
    image = Image.Image()
    image.info = info
    return _exif_in(image)


def _jpeg(file: BinaryIO) -> _Description:
    """Step over the segments in front of the pixels, as decoders do, and over bytes between two of
    them.
    """
    size, info = None, {}
    for marker, length in _jpeg_segments(file):
        start = file.tell()
        if marker in _JPEG_SIZES:
            sides = file.read(5)[1:]
            size = int.from_bytes(sides[2:], 'big'), int.from_bytes(sides[:2], 'big')
        elif marker == 0xE1:
            body = file.read(length)
            if body.startswith(_JPEG_EXIF):  # a long block continues in the next segment
                info['exif'] = info['exif'] + body[6:] if 'exif' in info else body
            elif body.startswith(_JPEG_XMP):
                info['xmp'] = body.removeprefix(_JPEG_XMP)
        file.seek(start + length)
    if size is None or not all(size):
        raise ValueError('it ends before its size' if size is None else 'its size is 0')
    return size, _exif_from(info), 1


def _jpeg_segments(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Marker and length of each segment before the pixels, with the file at its content."""
    file.seek(2)
    while byte := file.read(1):
        if byte != b'\xff':
            continue
        while (byte := file.read(1)) == b'\xff':
            pass
        marker = byte[0] if byte else _JPEG_END
        if marker in (_JPEG_END, _JPEG_SCAN):
            return
        if marker > 1 and not 0xD0 <= marker <= 0xD8:
            yield marker, max(int.from_bytes(file.read(2), 'big') - 2, 0)


def _has_gaps(content: bytes) -> bool:
    """Whether something stands between the segments before the pixels of a JPEG file."""
    file, end = BytesIO(content), 2
    for _, length in _jpeg_segments(file):
        if content[end : file.tell() - 4].strip(b'\xff'):
            return True
        end = file.tell() + length
        file.seek(end)
    return bool(content[end : file.tell() - 2].strip(b'\xff'))


def _png(file: BinaryIO) -> _Description:
    header = file.read(33)
    if header[12:16] != b'IHDR' or zlib.crc32(header[12:29]) != int.from_bytes(header[29:], 'big'):
        raise ValueError('no header of a PNG file')
    size = int.from_bytes(header[16:20], 'big'), int.from_bytes(header[20:24], 'big')
    if not all(size):
        raise ValueError('its size is 0')
    info, frames = {}, 1
    for kind, length in _png_chunks(file):
        if kind == b'IDAT':
            break
        if kind == b'acTL':
            frames = max(int.from_bytes(file.read(4), 'big'), 1)
        else:
            info |= _png_info(file, kind, length)
    if frames == 1:  # in an animation the next frame follows
        _go_behind_pixels(file)
        for kind, length in _png_chunks(file):
            info |= _png_info(file, kind, length)
    return size, _exif_from(info), frames


def _png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Kind and length of each chunk from here to the end, with the file at its content."""
    while len(start := file.read(8)) == 8:
        kind, length = start[4:], int.from_bytes(start[:4], 'big')
        if kind == b'IEND':
            return
        here = file.tell()
        yield kind, length
        file.seek(here + length + 4)


def _png_info(file: BinaryIO, kind: bytes, length: int) -> dict[str, Any]:
    """What Pillow understands of a chunk with EXIF or XMP data; nothing if it is damaged."""
    from PIL import Image

    if kind not in (b'eXIf', b'tEXt', b'zTXt', b'iTXt'):
        return {}
    body, check = file.read(length), file.read(4)
    if zlib.crc32(body, zlib.crc32(kind)) != int.from_bytes(check, 'big'):
        return {}
    if kind == b'eXIf':
        return {'exif': _JPEG_EXIF + body}
    if not body.startswith(_PNG_TEXTS):
        return {}
    # The smallest file around it, for Pillow to unpack it.
    chunks = ((b'IHDR', b'\0\0\0\1' * 2 + b'\10\0\0\0\0'), (kind, body), (b'IDAT', b''))
    whole = b''.join(
        len(content).to_bytes(4, 'big') + name + content
        + zlib.crc32(name + content).to_bytes(4, 'big')
        for name, content in chunks
    )  # fmt: skip
    try:
        with Image.open(BytesIO(PNG_SIGNATURE + whole + _PNG_ENDING)) as image:
            return image.info
    except Exception:
        return {}


def _go_behind_pixels(file: BinaryIO) -> None:
    """Move to the chunk after the last one with pixels, most of which need not be read for it."""
    size = file.seek(0, 2)
    start = file.seek(max(size - _PNG_TAIL, len(PNG_SIGNATURE)))
    tail = file.read()
    place = len(tail)
    while (place := tail.rfind(b'IDAT', 0, place)) >= 4:
        behind = place + 8 + int.from_bytes(tail[place - 4 : place], 'big')
        if _leads_to_end(tail, behind):
            file.seek(start + behind)
            return
    file.seek(len(PNG_SIGNATURE))
    behind = 0
    for kind, length in _png_chunks(file):
        behind = file.tell() + length + 4 if kind == b'IDAT' else behind
    file.seek(behind or size)


def _leads_to_end(content: bytes, position: int) -> bool:
    """Whether chunks from ``position`` on lead to the end of a PNG file."""
    while position + 12 <= len(content):
        if content[position + 4 : position + 8] == b'IEND':
            return content[position : position + 12] == _PNG_ENDING
        position += 12 + int.from_bytes(content[position : position + 4], 'big')
    return False


def _jpeg_end(content: bytes) -> int:
    """Where the first image in a JPEG file ends; 0 if it does not."""
    # Segments are stepped over by their length: a thumbnail inside one has its own end marker.
    position = 2
    while match := _JPEG_MARKER.search(content, position):
        position = match.end()
        if content[position - 1] == _JPEG_END:
            return position
        position += int.from_bytes(content[position : position + 2], 'big')
    return 0


def _decoded_jpeg(content: bytes) -> np.ndarray:
    """What libjpeg-turbo decodes, as OpenCV's copy of it does, but not without a word of damage."""
    import simplejpeg

    try:
        return simplejpeg.decode_jpeg(content, 'BGR', strict=True)
    except ValueError as error:
        said = str(error)
    image = _with_opencv(content)
    if image is None:
        raise _undecodable(content, f'the JPEG data are damaged ({said})')
    if not _ANOTHER_KIND.match(said) and not _is_harmless(said, content):
        raise ValueError(f'the JPEG data are damaged ({said})')
    return image


def _undecodable(content: bytes, otherwise: str = 'cannot be decoded') -> ValueError:
    return ValueError(
        f'truncated after {len(content)} bytes' if is_truncated(content) else otherwise
    )


def _is_harmless(warning: str, content: bytes) -> bool:
    """Whether a warning of libjpeg's says nothing about the pixels."""
    if between := _BETWEEN.match(warning):
        count, marker = int(between[1]), between[2]
        return (marker == 'd9' and count <= _PADDING) or _has_gaps(content)
    return bool(_HARMLESS.match(warning))


def _with_opencv(content: bytes, deep: bool = False) -> np.ndarray | None:
    """(h, w, 3) uint8 BGR as stored; None if OpenCV does not know the format."""
    data = np.frombuffer(content, np.uint8)
    try:
        image = cv2.imdecode(data, _STORED | cv2.IMREAD_ANYDEPTH) if deep and len(data) else None
        if image is not None and image.dtype == np.uint16:
            return _eight_bits(image)
        if image is None or image.dtype != np.uint8:
            image = cv2.imdecode(data, _STORED) if len(data) else None
    except cv2.error as error:
        raise ValueError(f'cannot be decoded ({error.err or "OpenCV"})') from error
    return image


def _eight_bits(image: np.ndarray) -> np.ndarray:
    bits = max(int(image.max()).bit_length(), 8)
    return (image >> (bits - 8)).astype(np.uint8)


def _tiff_tag(content: bytes) -> object:
    """The tag by which OpenCV turns a TIFF file; None where there is none."""
    try:
        return _tiff_tags(BytesIO(content)).get(_EXIF_ORIENTATION)
    except Exception:  # Pillow may raise anything on a damaged file
        return None


def _with_pillow(content: bytes) -> np.ndarray:
    """What OpenCV cannot decode, or turns otherwise."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(BytesIO(content)) as image:
            upright = ImageOps.exif_transpose(image)
            return np.ascontiguousarray(np.asarray(upright.convert('RGB'))[:, :, ::-1])
    except UnidentifiedImageError as error:
        raise ValueError('not an image of a known kind') from error
    except Exception as error:  # a plugin of Pillow's may raise anything on a damaged file
        raise ValueError(f'cannot be decoded ({error})') from error
