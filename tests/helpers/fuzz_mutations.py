"""Seeded damage to files: what a broken download, disk or program makes of them, and worse."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable

import numpy as np

Mutation = Callable[[bytes, np.random.Generator], bytes]

_HUGE = (0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0x10000000, 0)
_TAGS = (0, 1, 2, 4, 5, 6, 7, 9, 12, 14, 15, 16, 18, 200)
_TEXTS = (
    b'NaN', b'Infinity', b'1e999', b'-1', b'null', b'true', b'9' * 400, b'"', b'\\ud800', b'\0',
    b'[' * 100_000, b'{"a":' * 2000, b'\xff\xfe', b',', b'\n', b';', b'1_0', b'0x10', b'../x', b'',
)  # fmt: skip


def truncate(content: bytes, rng: np.random.Generator) -> bytes:
    """Cut off the end."""
    return content[: _place(content, rng)]


def flip_byte(content: bytes, rng: np.random.Generator) -> bytes:
    """Change one byte."""
    return _put(content, _place(content, rng), bytes([int(rng.integers(256))]))


def flip_bit(content: bytes, rng: np.random.Generator) -> bytes:
    """Change one bit."""
    place = _place(content, rng)
    return _put(content, place, bytes([content[place] ^ 1 << int(rng.integers(8))]))


def flip_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    """Change several bytes."""
    for _ in range(int(rng.integers(2, 9))):
        content = flip_byte(content, rng)
    return content


def zero_run(content: bytes, rng: np.random.Generator) -> bytes:
    """Write zeros over a run of bytes, as a hole in a file does."""
    return _put(content, _place(content, rng), bytes(_length(content, rng)))


def duplicate_block(content: bytes, rng: np.random.Generator) -> bytes:
    """Repeat a block in place, which moves everything behind it."""
    start, length = 8 * (_place(content, rng) // 8), 8 * (1 + _length(content, rng) // 8)
    return content[: start + length] + content[start:]


def drop_block(content: bytes, rng: np.random.Generator) -> bytes:
    """Leave out a block, which moves everything behind it."""
    start = 8 * (_place(content, rng) // 8)
    return content[:start] + content[start + 8 * (1 + _length(content, rng) // 8) :]


def copy_block(content: bytes, rng: np.random.Generator) -> bytes:
    """Copy a block over another one."""
    start, length = _place(content, rng), _length(content, rng)
    return _put(content, _place(content, rng), content[start : start + length])


def huge_length(content: bytes, rng: np.random.Generator) -> bytes:
    """Put an extreme number where a length, a count or a dimension may be."""
    value = struct.pack('<I', _HUGE[rng.integers(len(_HUGE))])
    return _put(content, 4 * (_place(content, rng) // 4), value)


def swap_tag(content: bytes, rng: np.random.Generator) -> bytes:
    """Put another type where a type may be."""
    value = struct.pack('<I', _TAGS[rng.integers(len(_TAGS))])
    return _put(content, 4 * (_place(content, rng) // 4), value)


def insert_text(content: bytes, rng: np.random.Generator) -> bytes:
    """Put something that is special in text files in the place of a few bytes."""
    place = _place(content, rng)
    text = _TEXTS[rng.integers(len(_TEXTS))]
    return content[:place] + text + content[place + int(rng.integers(4)) :]


def change_digit(content: bytes, rng: np.random.Generator) -> bytes:
    """Change a digit of a number written as text."""
    places = [place for place, value in enumerate(content) if 48 <= value <= 57]
    if not places:
        return flip_byte(content, rng)
    return _put(content, places[rng.integers(len(places))], b'%d' % rng.integers(10))


class _Started:
    def __reduce__(self) -> tuple:
        return os.system, ('true',)


def pickle_instead(content: bytes, rng: np.random.Generator) -> bytes:
    """A pickle that starts a program when it is loaded, in an array of objects where that fits."""
    if not content.startswith(np.lib.format.MAGIC_PREFIX):
        return pickle.dumps(_Started())
    file = io.BytesIO()
    np.save(file, np.array([_Started()], object))
    return file.getvalue()


BINARY: tuple[Mutation, ...] = (
    truncate, flip_byte, flip_bit, flip_bytes, zero_run, duplicate_block, drop_block, copy_block,
    huge_length, huge_length, swap_tag, swap_tag, pickle_instead,
)  # fmt: skip
TEXT: tuple[Mutation, ...] = (
    truncate, flip_byte, flip_bytes, zero_run, duplicate_block, drop_block, copy_block,
    insert_text, insert_text, insert_text, change_digit, change_digit, pickle_instead,
)  # fmt: skip


def inflate_mat(content: bytes) -> bytes:
    """A MATLAB 5 file without compression, where damage is not caught by a checksum."""
    parts, at = [content[:128]], 128
    while at < len(content):
        kind, size = struct.unpack_from('<II', content, at)
        data = content[at + 8 : at + 8 + size]
        padding = 0 if kind == 15 else -size % 8
        parts.append(zlib.decompress(data) if kind == 15 else content[at : at + 8 + size + padding])
        at += 8 + size + padding
    return b''.join(parts)


def mutate_members(content: bytes, mutation: Mutation, rng: np.random.Generator) -> bytes:
    """Damage one member of a zip file and give it the checksum of what it has become."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    chosen = list(members)[rng.integers(len(members))]
    members[chosen] = mutation(members[chosen], rng)
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w') as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def _place(content: bytes, rng: np.random.Generator) -> int:
    return int(rng.integers(max(len(content), 1)))


def _length(content: bytes, rng: np.random.Generator) -> int:
    return int(rng.integers(1, max(min(len(content), 64), 2)))


def _put(content: bytes, place: int, data: bytes) -> bytes:
    return (content[:place] + data + content[place + len(data) :])[: len(content)]
