"""The index of a split as it was read the last time, valid as long as its files stay the same."""

from __future__ import annotations

import hashlib
import inspect
import logging
import os
import time
from dataclasses import fields
from functools import lru_cache
from pathlib import Path

import numpy as np

from mmps.evaluation.functional import annotations
from mmps.utils.files import whole_file

from .packed_index import pack_index, unpack_index
from .scene_files import SceneFiles
from .scene_index import SceneIndex

FOLDER_VARIABLE = 'MMPS_INDEX_CACHE'
"""Environment variable: another folder for the cache, or ``off``."""

SETTLED_NS = 2 * 10**9
"""Age from which files are cached. A change within one tick of a file system's clock leaves no
trace in its time stamps; the coarsest clocks in use tick every two seconds."""

_STATE = 'state'
_logger = logging.getLogger(__name__)


def cache_folder() -> Path | None:
    """Where cached indices lie; None: nothing is cached."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen == 'off':
        return None
    if chosen:
        return Path(chosen)
    base = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    return Path(base) / 'mmps' / 'index'


class IndexCache:
    """The cached index of one split: one file per data set folder, split and choice of options.

    It is valid as long as size, time of change and inode of every file in ``files.sources()`` and
    the source code of the readers are what they were. Any number of processes may read and write
    at once: a file is whole or absent, and one that is damaged counts as absent.

    Args:
        files: The split. Its files are looked at now, and again by :meth:`save`.
    """

    def __init__(self, files: SceneFiles) -> None:
        self._files = files
        folder, version = cache_folder(), _reader_version(type(files))
        self._path = None if folder is None or not version else folder / _file_name(files)
        if self._path is not None:
            self._version = version
            self._state, _ = self._examine()

    def load(self) -> tuple[SceneIndex, list[str]] | None:
        """What :meth:`save` was given; None where there is nothing that is still valid."""
        if self._path is None:
            return None
        try:
            with np.load(self._path, allow_pickle=False) as archive:
                if str(archive[_STATE]) != self._state:
                    return None
                return unpack_index({name: archive[name] for name in archive.files})
        except FileNotFoundError:
            return None
        except Exception as error:  # whatever is wrong with it, the files themselves can be read
            _logger.warning('%s: damaged, read anew (%s)', self._path, error)
            return None

    def save(self, index: SceneIndex, removed: list[str]) -> None:
        """Keep what has been read, unless the files changed meanwhile or a moment before."""
        if self._path is None:
            return
        state, youngest = self._examine()
        if state != self._state or time.time_ns() - youngest < SETTLED_NS:
            return
        arrays = pack_index(index, removed)
        try:
            with whole_file(self._path) as temporary, open(temporary, 'wb') as file:
                np.savez(file, **{_STATE: np.array(state)}, **arrays)
        except OSError as error:
            _logger.warning(
                '%s: cannot be written, so that the data set is read anew each time (%s); '
                '%s=FOLDER chooses another folder, %s=off none',
                *(self._path, error, FOLDER_VARIABLE, FOLDER_VARIABLE),
            )

    def _examine(self) -> tuple[str, int]:
        """A hash of the state of every file, and when the last of them changed, in ns."""
        state, youngest = hashlib.sha256(self._version.encode()), 0
        for path in self._files.sources():
            try:
                found = os.stat(path)
            except OSError:
                state.update(f'{path}: absent\n'.encode(errors='surrogateescape'))
                continue
            values = found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino
            state.update(f'{path}: {values}\n'.encode(errors='surrogateescape'))
            youngest = max(youngest, found.st_ctime_ns)
        return state.hexdigest(), youngest


def _file_name(files: SceneFiles) -> str:
    options = [(field.name, str(getattr(files, field.name))) for field in fields(files)]
    kind = type(files)
    # The index holds paths as they were given, for its messages, so that they are part of the name.
    identity = repr((kind.__module__, kind.__qualname__, os.path.abspath(files.root), options))
    digest = hashlib.sha256(identity.encode(errors='surrogateescape')).hexdigest()[:16]
    return f'{kind.__name__}_{files.split}_{digest}.npz'


@lru_cache
def _reader_version(kind: type[SceneFiles]) -> str:
    """A hash of the code that makes the index, so that no change of it leaves old ones valid.

    Empty where the code cannot be read, as in an interpreter's own ``__main__``.
    """
    version = hashlib.sha256()
    try:
        code = {inspect.getfile(base) for base in kind.__mro__ if issubclass(base, SceneFiles)}
        code |= {annotations.__file__, *map(str, Path(__file__).parent.rglob('*.py'))}
        for path in sorted(code):
            version.update(Path(path).read_bytes())
    except (OSError, TypeError):
        return ''
    return version.hexdigest()
