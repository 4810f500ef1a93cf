"""Images, folders and videos as one stream of frames."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import av
import cv2
import numpy as np

from mmps.sources.images import (
    MAX_PIXELS,
    Frame,
    OnProblem,
    Problem,
    absolute,
    is_address,
    read_image,
)
from mmps.sources.provenance import Provenance
from mmps.sources.videos import (
    BrokenVideoError,
    Sampling,
    VideoInfo,
    read_video,
    read_video_at,
    read_video_frame,
    sampled_frames,
    video_info,
    video_length,
)
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
        else:
            there = os.path.lexists(path)
            message = 'neither a file nor a folder' if there else 'no such file or folder'
            if is_address(source):
                message = 'addresses of this kind are not read; save it as a file first'
            on_problem(Problem(path, message))
            continue
        for candidate in candidates:
            if candidate.encode(errors='ignore').decode() == candidate:
                found[candidate] = None
            else:
                on_problem(Problem(candidate, 'its name is not valid UTF-8; rename it'))
    return list(found)


def counted(passed_over: Counter[str]) -> str:
    """What was passed over, e.g. ``1 file of another kind: .cr2``."""
    count, named = passed_over.total(), {k or 'without suffix': n for k, n in passed_over.items()}
    if len(named) == 1:
        return f'{count} file{"s" * (count > 1)} of another kind: {next(iter(named))}'
    kinds = sorted(named.items(), key=lambda kind: (-kind[1], kind[0]))
    return f'{count} files of other kinds: {", ".join(f"{n} {kind}" for kind, n in kinds)}'


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


@dataclass(frozen=True)
class Reading:
    r"""What to read of files, and how.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> reading = Reading(fps=2, provenance=Provenance(name_pattern=r'cam(?P<camera>\d)'))
        >>> with TemporaryDirectory() as folder:
        ...     _ = cv2.imwrite(f'{folder}/cam2.png', np.zeros((48, 64, 3), np.uint8))
        ...     frames = list(read_sources([folder], reading))
        >>> [(frame.image.shape, frame.camera) for frame in frames]
        [((48, 64, 3), '2')]

    Attributes:
        fps: Frames per second of videos; None: every frame.
        provenance: Rules for cameras and times.
        skip: (source, frame) that are not wanted. Such images are not opened; such frames of a
            video are passed over, and a video of which nothing else is left is not either.
        rank, ranks: Of ``ranks`` processes that read the same files each gets a share: images and
            sampled frames in turn.
        max_pixels: Larger images and videos are refused.
    """

    fps: float | None = None
    provenance: Provenance = Provenance()
    skip: Collection[tuple[str, int]] = field(default=frozenset(), repr=False)
    rank: int = 0
    ranks: int = 1
    max_pixels: int = MAX_PIXELS

    def skipping(self, skip: Collection[tuple[str, int]]) -> Reading:
        """The same, with other frames left out."""
        return replace(self, skip=skip)

    def mine(self, number: int) -> bool:
        """Whether it is this process that reads what has this number."""
        return number % self.ranks == self.rank


def read_sources(
    sources: Iterable[str | os.PathLike],
    reading: Reading = Reading(),
    on_problem: OnProblem = lambda problem: None,
) -> Iterator[Frame]:
    """Read images, folders of them, and videos, one frame at a time.

    ``on_problem`` is told of broken files and frames; for sources see :func:`find_files`.
    """
    for number, path in enumerate(find_files(sources, on_problem)):
        try:
            if is_video(path):
                yield from _read_video(path, number, reading, on_problem)
            elif reading.mine(number) and (path, 0) not in reading.skip:
                image = read_image(path, reading.max_pixels)
                origin = reading.provenance.of(path)
                yield Frame(image, path, 0, None, origin.time, origin.camera, origin.metadata)
        except (OSError, ValueError, MemoryError, cv2.error, av.FFmpegError) as error:
            if reading.mine(number):
                reason = error.strerror if isinstance(error, OSError) else str(error)
                on_problem(Problem(path, reason or type(error).__name__))


def _read_video(path: str, file: int, reading: Reading, on_problem: OnProblem) -> Iterator[Frame]:
    if _is_done(path, file, video_info(path, reading.max_pixels), reading):
        return
    provenance = reading.provenance
    length = video_length(path) if provenance.file_times else 0.0
    if length is None:  # so that the time of the file does not tell when it began
        provenance, length = replace(provenance, file_times=False), 0.0
    origin = provenance.of(path, length)

    def wanted(frame: int, sample: int) -> bool:
        return reading.mine(file + sample) and (path, frame) not in reading.skip

    for frame, offset, image in read_video(path, reading.fps, wanted, reading.max_pixels):
        if image is None:
            on_problem(Problem(path, 'cannot be decoded', frame))
            continue
        time = None if origin.time is None else origin.time + offset
        yield Frame(image, path, frame, offset, time, origin.camera, origin.metadata)


def _is_done(path: str, file: int, info: VideoInfo, reading: Reading) -> bool:
    """Whether everything that a video should hold is to be skipped."""
    if not reading.skip:
        return False

    def all_skipped(frames: list[int]) -> bool:
        mine = [frame for sample, frame in enumerate(frames) if reading.mine(file + sample)]
        return bool(frames) and all((path, frame) in reading.skip for frame in mine)

    if all_skipped(Sampling(reading.fps).predicted(info)):
        return True
    # What a video says of its frames is an estimate; its packets are asked where it may matter.
    return (path, 0) in reading.skip and all_skipped(sampled_frames(path, reading.fps))


def count_frames(paths: Sequence[str], reading: Reading) -> int:
    """About how many frames :func:`read_sources` will give, for a progress bar."""
    total = 0
    for number, path in enumerate(paths):
        if not is_video(path):
            total += reading.mine(number) and (path, 0) not in reading.skip
            continue
        with suppress(BrokenVideoError):
            frames = Sampling(reading.fps).predicted(video_info(path, reading.max_pixels))
            mine = (frame for sample, frame in enumerate(frames) if reading.mine(number + sample))
            total += sum((path, frame) not in reading.skip for frame in mine)
    return total


def read_frame(
    source: str | os.PathLike, frame: int = 0, offset: float | None = None
) -> np.ndarray:
    """One image, or one frame of a video, again; arguments are those of :class:`Frame`.

    Returns:
        (h, w, 3) uint8 BGR.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not what it was.
    """
    path = _existing(source)
    return read_video_frame(path, frame, offset) if is_video(path) else read_image(path)


def read_frame_at(source: str | os.PathLike, offset: float) -> np.ndarray:
    """What a video shows so many seconds from its start.

    Returns:
        (h, w, 3) uint8 BGR.

    Raises:
        OSError: The file cannot be read.
        ValueError: It shows nothing at that time, or is no video.
    """
    path = _existing(source)
    if not is_video(path):
        raise ValueError(f'{path} is not a video')
    return read_video_at(path, offset)


def _existing(source: str | os.PathLike) -> str:
    path = absolute(source)
    if is_address(path) or path.startswith('/dev/'):
        raise FileNotFoundError(f'{path} is a live source, of which no pictures are kept')
    if not os.path.isfile(path):
        raise FileNotFoundError(f'{path} does not exist any more')
    return path
