"""Writing videos that browsers play."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

CODECS = {'.mp4': 'vp09', '.webm': 'VP90', '.avi': 'MJPG'}
"""By suffix. VP9, for OpenCV's packages leave out encoders of H.264, and browsers do not play
MPEG-4's older ones."""


def write_video(path: str | os.PathLike, images: Iterable[np.ndarray], fps: float) -> int:
    """Write a video, so that no reader ever sees half a file.

    Args:
        path: The suffix, one of :data:`CODECS`, decides the container and the codec.
        images: (h, w, 3) uint8 BGR, at least one. Those of another shape than the first are scaled
            to fit into it, on black.
        fps: Frames per second.

    Returns:
        The number of frames.

    Raises:
        ValueError: An unknown suffix, no image, or this OpenCV cannot encode.
    """
    path = Path(path)
    if path.suffix.lower() not in CODECS:
        raise ValueError(f'{path}: a video ends in {", ".join(CODECS)}')
    codec = cv2.VideoWriter_fourcc(*CODECS[path.suffix.lower()])
    path.parent.mkdir(parents=True, exist_ok=True)
    count, writer = 0, None
    with tempfile.TemporaryDirectory(dir=path.parent, prefix='.video.') as folder:
        partial = os.path.join(folder, path.name)
        for image in images:
            if writer is None:  # most codecs take even sides only
                height, width = (side // 2 * 2 for side in image.shape[:2])
                writer = cv2.VideoWriter(partial, cv2.CAP_FFMPEG, codec, fps, (width, height))
                if not writer.isOpened():
                    raise ValueError(f'{path}: OpenCV cannot write {width} x {height} at {fps}/s')
            writer.write(_fit(image, width, height))
            count += 1
        if writer is None:
            raise ValueError(f'{path}: no image to make a video of')
        writer.release()
        os.replace(partial, path)
    return count


def _fit(image: np.ndarray, width: int, height: int) -> np.ndarray:
    if 0 <= image.shape[0] - height < 2 and 0 <= image.shape[1] - width < 2:
        return np.ascontiguousarray(image[:height, :width])
    scale = min(width / image.shape[1], height / image.shape[0])
    size = [max(1, round(side * scale)) for side in (image.shape[1], image.shape[0])]
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)[:height, :width]
    canvas = np.zeros((height, width, 3), np.uint8)
    top, left = (height - small.shape[0]) // 2, (width - small.shape[1]) // 2
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    return canvas
