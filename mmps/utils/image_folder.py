"""The files of a folder of images, found by the names that lists made elsewhere give them."""

import itertools
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

_MOST_FILES = 20_000
"""Files that are looked through for a name that is like a missing one."""


class ImageFolder:
    """A folder of images, whose files have the names that another system gave them.

    Lists come from systems that part folders by a backslash, that write é as one letter or as two,
    or that do not tell ``a.JPG`` from ``a.jpg``. A name is compared letter by letter first, then in
    Unicode's composed form (NFC), then without regard to case. Where several files are the same but
    for that, none of them is taken. Each folder is listed once.

    Args:
        root: What the names are relative to.
    """

    def __init__(self, root: str | os.PathLike) -> None:
        self.root = Path(root)
        self._names: dict[tuple[str, int], dict[str, list[str]]] = {}

    def find(self, name: str) -> str | None:
        """The file that is listed as ``name``, as it is called below the folder, or None.

        Example:
            ``find('Hall\\\\1.png')`` gives ``'hall/1.png'`` if that is the only such file.
        """
        folder, file = os.path.split(os.path.join(self.root, name))
        if file in self._names_in(folder, 0):
            return name
        if '..' in re.split(r'[/\\]', name):
            return None
        found = (self._match('', parts) for parts in _splits(name))
        return next((file for file in found if file is not None), None)

    def path(self, name: str) -> str:
        """Where the file is that is listed as ``name``; where it should be if there is none."""
        return os.path.join(self.root, self.find(name) or name)

    def find_all(self, names: Sequence[str], fix: str) -> list[str]:
        """The file of each name.

        Raises:
            FileNotFoundError: Some are missing; the message names the first and ends with ``fix``.
        """
        found = [self.find(name) for name in names]
        missing = [name for name, file in zip(names, found, strict=True) if file is None]
        if missing:
            raise FileNotFoundError(
                f'{self.path(missing[0])}: this image is listed but missing ({len(missing)} of '
                f'{len(names)} are); {self.explain(missing[0])}{fix}'
            )
        return found

    def find_end(self, path: str) -> str | None:
        """The file whose name is the longest end of ``path``, or None.

        Annotation tools write the path or address at which they found an image themselves, of which
        only the last folders exist here.
        """
        found: list[str] = []
        for parts in _splits(path):
            ends = (self._match('', parts[start:]) for start in range(len(parts)))
            found += itertools.islice(filter(None, ends), 1)
        return max(found, key=lambda name: name.count('/'), default=None)

    def explain(self, path: str) -> str:
        """What is there instead of a missing file: the end of an error message."""
        files = list(self.files())
        if not files:
            return f'{self.root} holds no file' if self.root.is_dir() else f'no folder {self.root}'
        listed = _splits(path)[-1][-1:] or ['']
        by_name: dict[str, list[str]] = {}
        for file in files:
            by_name.setdefault(_fold(os.path.basename(file), 2), []).append(file)
        same = by_name.get(_fold(listed[0], 2), [])
        if same:
            others = f' and {len(same) - 1} more' if len(same) > 1 else ''
            how = difference(listed[0], os.path.basename(same[0]))
            return f'{self.root} has {same[0]!r}{others}{how and f", {how}"}'
        near = get_close_matches(_fold(listed[0], 2), list(by_name)[:2000], 1)
        example = by_name[near[0]][0] if near else files[0]
        return f'{"the nearest name" if near else "one of the files"} there is {example!r}'

    def files(self) -> Iterator[str]:
        """Names of the files below the folder, up to a number that can be looked through."""
        count = 0
        for folder, folders, files in os.walk(self.root):
            folders.sort()
            for file in sorted(files):
                count += 1
                if count > _MOST_FILES:
                    return
                yield os.path.relpath(os.path.join(folder, file), self.root).replace(os.sep, '/')

    def _names_in(self, folder: str, level: int) -> dict[str, list[str]]:
        """What is in a folder, by name as it is compared in one of three ways."""
        if (folder, level) not in self._names:
            try:
                names = sorted(os.listdir(folder))
            except OSError:
                names = []
            found = self._names[folder, level] = {}
            for name in names:
                found.setdefault(_fold(name, level), []).append(name)
        return self._names[folder, level]

    def _match(self, folder: str, parts: Sequence[str]) -> str | None:
        """The one file that the parts of a name lead to from ``folder``, relative to the root."""
        if not parts:
            return None
        place = os.path.join(self.root, folder) if folder else str(self.root)
        for level in range(3):
            files = []
            for name in self._names_in(place, level).get(_fold(parts[0], level), []):
                below = f'{folder}/{name}' if folder else name
                if len(parts) > 1:
                    files.append(self._match(below, parts[1:]))
                elif os.path.isfile(os.path.join(self.root, below)):
                    files.append(below)
            found = [file for file in files if file is not None]
            if found:
                return found[0] if len(found) == 1 else None
        return None


def difference(listed: str, there: str) -> str:
    """How two names differ that may look the same; empty where everybody sees it."""
    if listed == there:
        return ''
    one, other = (unicodedata.normalize('NFC', name) for name in (listed, there))
    if one == other:
        return f'the same in another Unicode form: {ascii(there)} there, {ascii(listed)} listed'
    if one.casefold() == other.casefold():
        return f'in other capitals than {listed!r}'
    return ''


def same_name(name: str, *, any_case: bool = True) -> str:
    """A form that is the same for all spellings of one name: separators, Unicode form, case."""
    return _fold('/'.join(_splits(name)[-1]), 2 if any_case else 1)


def _fold(name: str, level: int) -> str:
    if level == 0 or (name.isascii() and level == 1):
        return name
    composed = unicodedata.normalize('NFC', name)
    # Case folding turns some letters into two, which then compose differently.
    return composed if level == 1 else unicodedata.normalize('NFC', composed.casefold())


def _splits(path: str) -> list[list[str]]:
    """The parts of a path, with a backslash as a letter and, if there is one, between folders."""
    patterns = ['/', r'[/\\]'] if '\\' in path else ['/']
    return [[p for p in re.split(x, path) if p not in ('', '.', '..')] for x in patterns]
