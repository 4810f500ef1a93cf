"""What a gallery holds, in numbers."""

from __future__ import annotations

import numpy as np

from .ids import NOBODY
from .records import GalleryInfo, ModelTag
from .rows import Rows


def summary_of(rows: Rows, model: ModelTag, address: str, size: int | None) -> GalleryInfo:
    """Count what is in the rows of a whole gallery.

    Args:
        rows: All of them.
        model: Which model made it.
        address: Where it is.
        size: Bytes that it takes, where that is known.
    """
    someone = rows['detection'] != NOBODY
    timed, in_video = ~np.isnan(rows['time']), ~np.isnan(rows['offset'])
    times = rows['time'][timed]
    return GalleryInfo(
        address=address,
        model=model,
        people=int(np.count_nonzero(someone)),
        timed=int(np.count_nonzero(someone & timed)),
        frames=len(np.unique(rows['frame_id'])),
        video_frames=len(np.unique(rows['frame_id'][in_video])),
        sources=len(rows.texts['source'].used()),
        cameras=tuple(rows.texts['camera'].used()),
        first=float(times.min()) if len(times) else None,
        last=float(times.max()) if len(times) else None,
        bytes=size,
    )
