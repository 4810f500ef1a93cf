"""Which file an address in a task of Label Studio means."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from urllib.parse import unquote, unquote_plus

from mmps.utils.image_folder import ImageFolder

_UPLOAD = re.compile(r'(^|(?<=[/\\]))[0-9a-f]{8}-(?=[^/\\]*$)')
_WEB = re.compile(r'https?://', re.IGNORECASE)


class TaskImages:
    """The files that the addresses in tasks mean.

    Label Studio writes ``/data/upload/1/0123abcd-NAME`` (without escapes, and without the
    characters of a name that Django leaves out) and ``/data/local-files/?d=PATH`` (escaped), and
    passes on what it was given: addresses of the web (escaped, with queries of their servers), of
    cloud storage (not escaped), and paths, also of Windows. Whoever writes task files by hand
    escapes or not. So an address is read in each way, and the longest end of a path that is a file
    counts; of several equally long ones that of the likelier way.

    Args:
        folder: Where the files are. The eight digits that an upload puts before a name may be
            missing there.
    """

    def __init__(self, folder: ImageFolder) -> None:
        self._folder = folder
        self._uploaded: dict[str, list[str]] | None = None

    def find(self, address: str) -> str | None:
        """The file that an address means, or None."""
        best: str | None = None
        for path in _readings(address):
            for candidate in dict.fromkeys((path, _UPLOAD.sub('', path))):
                name = self._folder.find_end(candidate)
                if name is not None and (best is None or name.count('/') > best.count('/')):
                    best = name
        return best or self._find_uploaded(address)

    def _find_uploaded(self, address: str) -> str | None:
        """The one file whose name would be this one after an upload."""
        name = re.split(r'[/\\]', address)[-1]
        if not _UPLOAD.match(name):
            return None
        if self._uploaded is None:
            self._uploaded = {}
            for file in self._folder.files():
                kept = _uploaded_name(file.rpartition('/')[2])
                self._uploaded.setdefault(kept, []).append(file)
        files = self._uploaded.get(_UPLOAD.sub('', name), [])
        return files[0] if len(files) == 1 else None


def _uploaded_name(name: str) -> str:
    """What Django's ``get_valid_filename`` makes of a name."""
    return re.sub(r'[^-\w.]', '', name.strip().replace(' ', '_'))


def _readings(address: str) -> Iterator[str]:
    """What an address may mean, the likeliest first."""
    path, mark, query = address.partition('?')
    values = re.split(r'(?:^|&)([^=&]*)=', query)[1:] if mark else []
    named = dict(zip(values[::2], values[1::2], strict=True))
    local = 'd' in named and path.rstrip('/').endswith('local-files')
    if local:
        # A name may hold "&" and "#" itself, if whoever wrote the address escaped nothing.
        yield from _decoded(re.split(r'(?:^|&)d=', query, maxsplit=1)[1])
        yield from _decoded(named['d'])
        yield from _decoded(named['d'].partition('#')[0])
    elif _WEB.match(address):
        yield from _decoded(path.partition('#')[0])
        yield from _decoded(path)
    # Nothing is escaped in an upload, a path or the address of a file in cloud storage.
    yield address
    yield path
    yield from _decoded(path)
    yield from _decoded(path.partition('#')[0])
    yield from _decoded(address)
    for value in named.values():
        yield from _decoded(value)
    if 'fileuri' in named:
        yield from _from_base64(named['fileuri'])


def _decoded(text: str) -> Iterator[str]:
    """A text without its escapes, as it stands, and without those that were escaped twice."""
    once = unquote(text)
    yield once
    yield text
    yield unquote_plus(text)
    yield unquote(once)


def _from_base64(text: str) -> Iterator[str]:
    try:
        yield base64.urlsafe_b64decode(unquote(text) + '==').decode()
    except (binascii.Error, ValueError):
        return
