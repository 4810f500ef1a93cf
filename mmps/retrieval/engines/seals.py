"""Seals on the files of a gallery, by which damage is noticed before anything is read from them.

LanceDB does not check what it reads: a changed byte becomes another answer, or ends the process.
Its files never change once they have their name, though. So a log beside them names each with its
size and digest, and they are compared before LanceDB sees them. Whoever changes the gallery holds a
lock, on whatever machine, and notes in the log that a change begins and ends: if it does not end,
its process was killed, and the next one notes what is there.
"""

from __future__ import annotations

import fcntl
import os
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

import numpy as np

from mmps.utils.files import whole_file

from ..errors import DamagedGalleryError

LOG, LOCK = 'mmps_seals.txt', 'mmps_lock'
_FOLDERS = ('_versions', '_deletions', '_indices', '_transactions', 'data')
_HINT = '_versions/latest_version_hint.json'
"""Is written anew with each version, and believed only as far as the versions bear it out."""
_FIX = 'restore it from a backup, or delete the gallery and index again'


class Seals:
    """The log and the lock of a gallery in a folder.

    Args:
        folder: The folder of LanceDB's table.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._intact: set[str] = set()
        self._guard = threading.Lock()

    def exist(self) -> bool:
        """Whether there is a log."""
        return (self._folder / LOG).is_file()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep everybody else from changing the gallery, and mend the log of one who was killed."""
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if self.exist() and not self._read()[1]:
                self._end()
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Change the gallery; nobody else does meanwhile.

        Raises:
            DamagedGalleryError: A file is missing or is not what was written.
        """
        with self.locked():
            if self.exist():
                self._verify(data=True)  # before the log forgets what is missing
            self._append(['begin'])
            try:
                yield
            finally:
                self._end()

    def verify(self, *, data: bool, held: bool = False) -> None:
        """Compare the files with their seals, each once in the life of this object.

        Args:
            data: Also those with the rows; otherwise only their presence and size.
            held: Whether the caller holds the lock.

        Raises:
            DamagedGalleryError: One is missing or is not what was written.
        """
        try:
            self._verify(data)
        except DamagedGalleryError:
            if held:
                raise
            with self.locked():  # somebody may have been changing it
                self._verify(data)

    def rewrite(self) -> None:
        """Shorten the log to what is there. Only while :meth:`changing`."""
        sealed, _ = self._read()
        there = self._files()
        lines = [_plus(name, *sealed[name]) for name in sorted(sealed.keys() & there.keys())]
        with whole_file(self._folder / LOG) as temporary:
            temporary.write_text(''.join(map(_line, [*lines, 'begin'])))

    def _verify(self, data: bool) -> None:
        with self._guard:
            sealed, _ = self._read()
            self._require(sealed)
            for name in sorted(sealed.keys() - self._intact):
                if not data and name.startswith(('data/', '_indices/')):
                    continue
                try:
                    intact = digest(self._folder / name) == sealed[name][1]
                except FileNotFoundError:
                    raise DamagedGalleryError(f'{self._folder / name}: missing; {_FIX}') from None
                if not intact:
                    raise DamagedGalleryError(f'{self._folder / name}: damaged; {_FIX}')
                self._intact.add(name)

    def _require(self, sealed: dict[str, tuple[int, str]]) -> None:
        there = self._files()
        for name, (size, _) in sorted(sealed.items()):
            if name not in there:
                raise DamagedGalleryError(f'{self._folder / name}: missing; {_FIX}')
            if there[name] != size:
                raise DamagedGalleryError(
                    f'{self._folder / name}: {there[name]} bytes instead of {size}; {_FIX}'
                )

    def _files(self) -> dict[str, int]:
        """Size of each file of LanceDB's, by name from the folder."""
        return {
            name: size
            for name, size in sizes_in(self._folder).items()
            if name.split(os.sep)[0] in _FOLDERS and name != _HINT
        }

    def _end(self) -> None:
        sealed, there = self._read()[0], self._files()
        gone = [f'- {name}' for name in sorted(sealed.keys() - there.keys())]
        fresh = sorted(there.keys() - sealed.keys())
        sealing = [_plus(name, there[name], digest(self._folder / name)) for name in fresh]
        self._append([*gone, *sealing, 'end'])
        self._intact.update(fresh)

    def _append(self, lines: list[str]) -> None:
        with open(self._folder / LOG, 'ab') as file:
            whole = (self._folder / LOG).read_bytes().rfind(b'\n') + 1
            file.truncate(whole)  # what a killed process wrote may lack its end
            file.write(''.join(map(_line, lines)).encode())

    def _read(self) -> tuple[dict[str, tuple[int, str]], bool]:
        """Size and digest by name, and whether the last change has ended."""
        log = self._folder / LOG
        try:
            *lines, torn = log.read_text(errors='replace').split('\n')
        except FileNotFoundError:
            raise DamagedGalleryError(f'{log}: missing; {_FIX}') from None
        sealed: dict[str, tuple[int, str]] = {}
        ended = not torn
        for number, line in enumerate(lines, 1):
            text = line.rpartition(' ')[0]
            if _line(text) != line + '\n':
                raise DamagedGalleryError(f'{log}, line {number}: damaged; {_FIX}')
            sign, _, rest = text.partition(' ')
            if sign == '+':
                size, seal, name = rest.split(' ', 2)
                sealed[name] = int(size), seal
            elif sign == '-':
                sealed.pop(rest, None)
            else:
                ended = sign == 'end' and not torn
        return sealed, ended


def sizes_in(folder: Path) -> dict[str, int]:
    """Size of each file in a folder and below, by name from there, but for hidden ones: those are
    of writes that have not ended.
    """
    found: dict[str, int] = {}
    folders = ['']
    while folders:
        prefix = folders.pop()
        try:
            entries = os.scandir(folder / prefix)
        except FileNotFoundError:  # somebody is just deleting it
            continue
        with entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if entry.is_dir():
                        if entry.is_symlink():  # which may lead back up
                            continue
                        folders.append(f'{prefix}{entry.name}{os.sep}')
                    elif not entry.name.startswith('.'):
                        found[prefix + entry.name] = entry.stat().st_size
    return found


def digest(path: Path, start: int = 0, size: int | None = None) -> str:
    """Digest of a file, or of ``size`` bytes from ``start``, at the speed of memory.

    Blocks of words are summed up, each word times an odd weight of its place modulo 2**64, so that
    a change of one word changes the sum, and any other but for one chance in about 2**63. The sums
    are hashed. It is not made to withstand forgers.
    """
    total = blake2b(digest_size=16)
    weights = _weights()
    buffer = np.empty((1024, len(weights)), np.uint64)
    view = memoryview(buffer).cast('B')
    left = os.path.getsize(path) - start if size is None else size
    with open(path, 'rb', buffering=0) as file:
        file.seek(start)
        while left and (count := file.readinto(view[: min(left, len(view))])):
            blocks, rest = divmod(count, buffer[0].nbytes)
            total.update(np.einsum('nd,d->n', buffer[:blocks], weights))
            total.update(view[count - rest : count])
            left -= count
    return total.hexdigest() + ('' if not left else '-short')


@lru_cache
def _weights() -> np.ndarray:
    return np.random.Generator(np.random.PCG64(0)).integers(0, 2**63, 512, np.uint64) << 1 | 1


def _plus(name: str, size: int, seal: str) -> str:
    return f'+ {size} {seal} {name}'


def _line(text: str) -> str:
    """A line of the log, which ends in its own checksum."""
    return f'{text} {zlib.crc32(text.encode()):08x}\n'
