"""From the bytes of an image file to pixels, upright and of eight bits: one way for all readers."""

import re
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np

from mmps.utils.image_files import (
    NEEDS_HEIF,
    ImageHeader,
    has_gaps,
    header_of,
    heif_is_known,
    is_truncated,
    kind_of,
    read_header,
    tiff_tags,
)

_STORED = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
_DEEP = ('png', 'tiff', '')
"""Kinds that hold sixteen bits as they are; '' has PNM. Others OpenCV turns into eight."""

_HARMLESS = re.compile(r'Unknown Adobe|Warning: unknown JFIF|Invalid SOS param|.*bad ICC marker')
_ANOTHER_KIND = re.compile(r'Unsupported (JPEG|color)|.*not implemented|.*precision')
"""Files that OpenCV may know: of twelve bits, without loss, arithmetically coded."""
_BETWEEN = re.compile(r'Corrupt JPEG data: (\d+) extraneous bytes before marker 0x(..)')
_PADDING = 16
"""Bytes that cameras leave between the pixels of a JPEG file and its end."""

_TURNS = {
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: image[::-1].transpose(1, 0, 2),
    7: lambda image: image[::-1, ::-1].transpose(1, 0, 2),
    8: lambda image: image[:, ::-1].transpose(1, 0, 2),
}


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
    if kind == 'jpeg':
        image = _jpeg(content)
    elif kind == 'heic' and not heif_is_known():
        raise ValueError(NEEDS_HEIF)
    elif kind == 'heic' or (kind == 'tiff' and not _opencv_turns_alike(content, orientation)):
        return _with_pillow(content)
    else:
        image = _with_opencv(content, deep=kind in _DEEP)
        if image is None and kind in ('png', 'webp'):
            raise _undecodable(content)
        if image is None:
            return _with_pillow(content)
        if kind == 'tiff' and _tiff_tag(content) is not None:
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


def _jpeg(content: bytes) -> np.ndarray:
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
        return (marker == 'd9' and count <= _PADDING) or has_gaps(content)
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
        return tiff_tags(BytesIO(content)).get(274)
    except Exception:  # Pillow may raise anything on a damaged file
        return None


def _opencv_turns_alike(content: bytes, orientation: int) -> bool:
    tag = _tiff_tag(content)
    return tag is None or tag == orientation


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
