"""From what the user names to files of images and videos."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from mmps.sources.frame import OnProblem, Problem

_IMAGES = '.bmp .jpe .jpeg .jpg .pbm .pgm .png .pnm .ppm .tif .tiff .webp'
_VIDEOS = '.3gp .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ts .webm .wmv'
IMAGE_SUFFIXES, VIDEO_SUFFIXES = frozenset(_IMAGES.split()), frozenset(_VIDEOS.split())


def find_files(sources: Iterable[str | os.PathLike], on_problem: OnProblem) -> list[str]:
    """The images and videos that ``sources`` stand for, each once, by absolute path.

    A folder stands for what is in it and in the folders below, in the order of names, with links
    followed; files of other kinds are passed over. A file that is named is taken whatever its
    suffix is.

    Args:
        sources: Files and folders.
        on_problem: Told of what does not exist, cannot be listed or has an impossible name.
    """
    found: dict[str, None] = {}
    for source in sources:
        path = absolute(source)
        if os.path.isdir(path):
            candidates = list(_walk(path, on_problem))
            if not candidates:
                on_problem(Problem(path, 'no images or videos in this folder'))
        elif os.path.isfile(path):
            candidates = [path]
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


def absolute(source: str | os.PathLike) -> str:
    """The absolute path, the same for all ways to write it.

    Links keep their names, except where ``..`` comes in, whose meaning depends on them.
    """
    path = os.fspath(source)
    return os.path.realpath(path) if '..' in Path(path).parts else os.path.abspath(path)


def is_video(path: str) -> bool:
    """Whether a file is a video: by its suffix, or else because it is not an image."""
    suffix = Path(path).suffix.lower()
    if suffix in IMAGE_SUFFIXES or suffix in VIDEO_SUFFIXES:
        return suffix in VIDEO_SUFFIXES
    from mmps.utils.image_files import read_header

    try:
        read_header(Path(path))
    except (OSError, ValueError):
        return True
    return False


def _walk(folder: str, on_problem: OnProblem) -> Iterator[str]:
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
            path = os.path.join(root, name)
            known = Path(name).suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES
            if known and not name.startswith('.') and os.path.isfile(path):
                yield path


def _is_unicode(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
