"""Images, folders and videos as a stream of frames; knows nothing of models or galleries."""

from .images import (
    MAX_PIXELS,
    Frame,
    Problem,
    absolute,
    as_image,
    check_header,
    decode_image,
    is_address,
    printable,
    read_image,
    without_password,
)
from .live import LiveFrames, LiveSource, is_live, new_files
from .prefetch import Prefetch, Worker
from .provenance import Provenance, check_time, format_offset, format_time, parse_time
from .reading import (
    Reading,
    count_frames,
    counted,
    find_files,
    read_frame,
    read_frame_at,
    read_sources,
)
from .videos import read_video, video_info

__all__ = [
    'MAX_PIXELS',
    'Frame',
    'LiveFrames',
    'LiveSource',
    'Prefetch',
    'Problem',
    'Provenance',
    'Reading',
    'Worker',
    'absolute',
    'as_image',
    'check_header',
    'check_time',
    'count_frames',
    'counted',
    'decode_image',
    'find_files',
    'format_offset',
    'format_time',
    'is_address',
    'is_live',
    'new_files',
    'parse_time',
    'printable',
    'read_frame',
    'read_frame_at',
    'read_image',
    'read_sources',
    'read_video',
    'video_info',
    'without_password',
]
