"""Pictures in every container that says how they are turned, by hand where no encoder writes it."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps

ORIENTATION = 0x0112
RED = np.array([220, 30, 40])
"""RGB of the person in :func:`person_picture`."""


def person_picture(box: tuple[int, int, int, int], width: int, height: int) -> Image.Image:
    """A red person on grey."""
    picture = np.full((height, width, 3), 90, np.uint8)
    x1, y1, x2, y2 = box
    picture[y1:y2, x1:x2] = RED
    return Image.fromarray(picture)


def share_of_red(rgb: np.ndarray) -> float:
    """How much of some pixels (h, w, 3) shows the person."""
    return float((np.abs(rgb.astype(int) - RED).max(-1) < 60).mean())


def as_stored(upright: Image.Image, orientation: int) -> Image.Image:
    """What a file stores whose viewers turn it by ``orientation`` into ``upright``."""
    back = {6: 8, 8: 6}.get(orientation, orientation)
    exif = Image.Exif()
    exif[ORIENTATION] = back
    image = upright.copy()
    image.info['exif'] = exif.tobytes()
    return ImageOps.exif_transpose(image)


def exif_block(orientation: int, code: str = 'H', order: str = '<') -> bytes:
    """EXIF data with nothing but the orientation, as a number of one type.

    Args:
        code: The number as :mod:`struct` writes it: ``H``, ``I``, ``i``, ``h``, ``f``, ``d``.
        order: ``<`` or ``>``.
    """
    kind = {'H': 3, 'I': 4, 'h': 8, 'i': 9, 'f': 11, 'd': 12}[code]
    value = struct.pack(order + code, orientation)
    field, behind = (value.ljust(4, b'\0'), b'') if len(value) <= 4 else (b'', value)
    field = field or struct.pack(order + 'I', 26)
    head = (b'II*\0' if order == '<' else b'MM\0*') + struct.pack(order + 'I', 8)
    entry = struct.pack(order + 'HHHI', 1, ORIENTATION, kind, 1) + field
    return b'Exif\0\0' + head + entry + bytes(4) + behind


def xmp_packet(orientation: int) -> bytes:
    """The same in XMP."""
    return (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description '
        b'tiff:Orientation="%d"/></rdf:RDF></x:xmpmeta>' % orientation
    )


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """A file as Pillow writes it."""
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def with_segments(jpeg: bytes, *bodies: bytes) -> bytes:
    """A JPEG file with APP1 segments at its beginning."""
    segments = (b'\xff\xe1' + struct.pack('>H', len(body) + 2) + body for body in bodies)
    return jpeg[:2] + b''.join(segments) + jpeg[2:]


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk of a PNG file."""
    check = struct.pack('>I', zlib.crc32(kind + body))
    return struct.pack('>I', len(body)) + kind + body + check


def with_chunk(png: bytes, kind: bytes, body: bytes, behind_pixels: bool = False) -> bytes:
    """A PNG file with one more chunk, before or behind its pixels."""
    place = len(png) - 12 if behind_pixels else 33
    return png[:place] + png_chunk(kind, body) + png[place:]


def with_webp_exif(webp: bytes, block: bytes) -> bytes:
    """A WebP file of Pillow's with other EXIF data than it had."""
    start = webp.index(b'EXIF')
    length = int.from_bytes(webp[start + 4 : start + 8], 'little')
    new = b'EXIF' + struct.pack('<I', len(block)) + block + b'\0' * (len(block) % 2)
    content = webp[:start] + new + webp[start + 8 + length + length % 2 :]
    return content[:4] + struct.pack('<I', len(content) - 8) + content[8:]


def turned_file(upright: Image.Image, container: str, orientation: int) -> bytes:
    """A file that shows ``upright`` where viewers heed the orientation that it states.

    Args:
        container: One of :data:`TURNED`.
    """
    stored, block = as_stored(upright, orientation), exif_block(orientation)
    xmp = xmp_packet(orientation)
    if container.startswith('jpeg'):
        jpeg = encoded(stored, 'JPEG', quality=95, progressive='progressive' in container)
        other = b'http://ns.adobe.com/xap/1.0/\0' + (
            xmp if container == 'jpeg, in XMP' else b'<x:xmpmeta/>'
        )
        bodies = {'jpeg, XMP first': (other, block), 'jpeg, in XMP': (other,)}
        return with_segments(jpeg, *bodies.get(container, (block,)))
    if container.startswith('png'):
        png = encoded(stored, 'PNG')
        behind = 'behind' in container
        if 'XMP' in container:
            return with_chunk(png, b'iTXt', b'XML:com.adobe.xmp\0\0\0\0\0' + xmp, behind)
        if 'profile' in container:
            text = f'\nexif\n{len(block):8d}\n{block.hex()}\n'.encode()
            return with_chunk(png, b'zTXt', b'Raw profile type exif\0\0' + zlib.compress(text))
        body = block[6:] + bytes(2**18 if 'far' in container else 0)
        return with_chunk(png, b'eXIf', body, behind)
    if container.startswith('tiff'):
        tags = {700: xmp} if 'XMP' in container else {ORIENTATION: orientation}
        compression = 'tiff_lzw' if 'LZW' in container else None
        return encoded(stored, 'TIFF', tiffinfo=tags, compression=compression)
    if container == 'heic':
        import pillow_heif

        content = io.BytesIO()
        heif = pillow_heif.from_pillow(stored)
        heif.info['exif'] = block
        heif.save(content, quality=95)
        return content.getvalue()
    options = dict(lossless=True) if container == 'webp, lossless' else dict(quality=95)
    if container == 'webp, in XMP':
        return encoded(stored, 'WEBP', xmp=xmp, **options)
    return encoded(stored, container.split(',')[0].upper(), exif=block, **options)


TURNED = (
    *('jpeg', 'jpeg, progressive', 'jpeg, XMP first', 'jpeg, in XMP'),
    *('png', 'png, behind the pixels', 'png, far behind the pixels', 'png, in XMP'),
    *('png, in XMP behind the pixels', 'png, in a profile'),
    *('webp', 'webp, lossless', 'webp, in XMP', 'avif', 'heic'),
    *('tiff', 'tiff, LZW', 'tiff, in XMP'),
)
"""Containers, and places in them, that say how a picture is turned."""
