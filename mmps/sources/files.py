"""From what the user names to files of images and videos."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from mmps.sources.frame import OnProblem, Problem
from mmps.utils.image_files import is_animation, kind_of, read_header

_IMAGES = (
    '.avif .bmp .dib .heic .heif .hif .jfi .jfif .jif .jp2 .jpe .jpeg .jpg .mpo .pbm .pgm .pjp '
    '.pjpeg .png .pnm .ppm .tif .tiff .webp'
)
_VIDEOS = (
    '.264 .265 .3g2 .3gp .3gpp .amv .asf .avi .dav .divx .dv .f4v .flv .h264 .h265 .hevc .ivf .lrv '
    '.m1v .m2t .m2ts .m2v .m4v .mjpeg .mjpg .mkv .mov .mp4 .mpe .mpeg .mpg .mts .mxf .nut .obu '
    '.ogm .ogv .qt .rm .rmvb .tod .trp .ts .vob .webm .wmv .y4m'
)
IMAGE_SUFFIXES, VIDEO_SUFFIXES = frozenset(_IMAGES.split()), frozenset(_VIDEOS.split())
_EITHER = frozenset(('.apng', '.gif'))
"""What they hold tells whether one picture or several."""
_KNOWN = IMAGE_SUFFIXES | VIDEO_SUFFIXES | _EITHER
_ADDRESS = re.compile(r'([a-z][a-z0-9+.-]+):/+(.*)', re.IGNORECASE | re.DOTALL)
_SECRETS = 'user|pass|pwd|pin|token|key|auth|secret|sig|code'
_CHANNEL = re.compile(rf'(?!.*({_SECRETS}))\w+=\d{{1,3}}', re.IGNORECASE)
_SECRET = re.compile(rf'((?:{_SECRETS})[a-z]*)=.*?(?=_[a-z]+=|[/;&]|$)', re.IGNORECASE)
_HOST = re.compile(r'([^:/@]*|\[[^]/]*\])(:\d*)?(?=[/?#]|$)')


def find_files(
    sources: Iterable[str | os.PathLike],
    on_problem: OnProblem,
    passed_over: Counter[str] | None = None,
) -> list[str]:
    """The images and videos that ``sources`` stand for, each once, by absolute path.

    A folder stands for what is in it and in the folders below, in the order of names, with links
    followed; files of other kinds are passed over. A file that is named is taken whatever its
    suffix is.

    Args:
        sources: Files and folders.
        on_problem: Told of what does not exist, cannot be listed or has an impossible name.
        passed_over: Counts the files of other kinds by their suffix, in lower case.
    """
    found: dict[str, None] = {}
    for source in sources:
        path = absolute(source)
        if os.path.isdir(path):
            others: Counter[str] = Counter()
            candidates = list(_walk(path, on_problem, others))
            if not candidates:
                hint = f', but {counted(others)}' if others else ''
                on_problem(Problem(path, f'no images or videos in this folder{hint}'))
            if passed_over is not None:
                passed_over.update(others)
        elif os.path.isfile(path):
            candidates = [path]
        elif is_address(source):
            on_problem(
                Problem(path, 'addresses of this kind are not read; save it as a file first')
            )
            continue
        else:
            there = os.path.lexists(path)
            message = 'neither a file nor a folder' if there else 'no such file or folder'
            on_problem(Problem(path, message))
            continue
        for candidate in candidates:
            if not _is_unicode(candidate):
                on_problem(Problem(candidate, 'its name is not valid UTF-8; rename it'))
                continue
            found[candidate] = None
    return list(found)


def counted(passed_over: Counter[str]) -> str:
    """What was passed over, e.g. ``1 file of another kind: .cr2``."""
    count, named = passed_over.total(), {k or 'without suffix': n for k, n in passed_over.items()}
    if len(named) == 1:
        return f'{count} file{"s" * (count > 1)} of another kind: {next(iter(named))}'
    kinds = sorted(named.items(), key=lambda kind: (-kind[1], kind[0]))
    return f'{count} files of other kinds: {", ".join(f"{n} {kind}" for kind, n in kinds)}'


def absolute(source: str | os.PathLike) -> str:
    """The absolute path, the same for all ways to write it; of an address, its name without user,
    password and query.

    Links keep their names, except where ``..`` comes in, whose meaning depends on them.
    """
    path = os.fspath(source)
    if is_address(path):
        return without_password(path)
    return os.path.realpath(path) if '..' in Path(path).parts else os.path.abspath(path)


def is_address(source: str | os.PathLike) -> bool:
    """Whether a source is that of a stream or on a server, such as ``rtsp://HOST/NAME``."""
    path = os.fspath(source)
    return bool(_ADDRESS.match(path)) and not os.path.lexists(path)


def without_password(address: str) -> str:
    """An address that may be shown: without user and password.

    Of its query stay short numbers, which tell the channels of a recorder apart.
    """
    if not (match := _ADDRESS.match(address)):
        return address
    scheme, rest = match.groups()
    place = re.split(r'[?#]', rest)[0]
    if '@' in place:
        place = place.rpartition('@')[2]
    elif not _HOST.match(rest):  # what looks like the query is a part of the password
        place = re.split(r'[?#]', rest.rpartition('@')[2])[0]
    place = _SECRET.sub(r'\1=', place)
    query = rest.rpartition('@')[2].partition('#')[0].partition('?')[2]
    channels = '&'.join(part for part in query.split('&') if _CHANNEL.fullmatch(part))
    return f'{scheme}://{place}' + (f'?{channels}' if channels else '')


def is_video(path: str) -> bool:
    """Whether a file is a video: by its suffix, or else because it holds no image, or several."""
    suffix = Path(path).suffix.lower()
    if suffix in IMAGE_SUFFIXES or suffix in VIDEO_SUFFIXES:
        return suffix in VIDEO_SUFFIXES
    try:
        with open(path, 'rb') as file:
            if kind_of(file.read(64)) == 'heic':
                return False  # whether or not it can be read
        read_header(Path(path))
        return is_animation(Path(path))
    except (OSError, ValueError):
        return True


def _walk(folder: str, on_problem: OnProblem, others: Counter[str]) -> Iterator[str]:
    def report(error: OSError) -> None:
        on_problem(Problem(error.filename or folder, f'cannot be listed ({error.strerror})'))

    seen = set()
    for root, folders, names in os.walk(folder, onerror=report, followlinks=True):
        status = os.stat(root)
        if (status.st_dev, status.st_ino) in seen:  # a link back up
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders.sort()
        for name in sorted(names):
            path, suffix = os.path.join(root, name), Path(name).suffix.lower()
            if name.startswith('.') or not os.path.isfile(path):
                continue
            if suffix in _KNOWN:
                yield path
            else:
                others[suffix] += 1


def _is_unicode(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
