"""CUHK-SYSU's lists of images: who is in each, and which of them are for testing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mmps.formats.mat.mat_file import read_variable


def whole_boxes(xywh: np.ndarray) -> np.ndarray:
    """(n, 4) xywh of any type -> (n, 4) float32 xyxy.

    Fractions are cut off first, as the reference evaluation does. Bytes and words, in which the
    files hold their boxes, become floats before they are added.
    """
    xywh = np.trunc(xywh.astype(np.float64))
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1).astype(np.float32)


def read_images(path: Path) -> dict[str, np.ndarray]:
    """Image name -> (n, 4) float32 xyxy of the people in ``Images.mat``, in the file's order.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not readable or of another form; the message names the row.
    """
    people: dict[str, np.ndarray] = {}
    for row, image in enumerate(read_variable(path, 'Img').ravel('F')):
        try:
            name, boxes = image_name(image['imname']), image['box']
            listed = [box.ravel() for box in boxes['idlocate'].ravel('F')] if boxes.size else []
            xywh = np.array(listed, np.float64).reshape(-1, 4)
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f'{path}: Img, row {row} (counted from 0) is not of the form imname, nAppear, '
                f'box(idlocate, ishard) with boxes x, y, width, height: {error}'
            ) from None
        if name in people:
            raise ValueError(f'{path}: Img, row {row} (counted from 0) repeats {name!r}')
        people[name] = whole_boxes(xywh)
    return people


def read_pool(path: Path, people: Mapping[str, np.ndarray]) -> list[str]:
    """Names of the test images in ``pool.mat``, all of them keys of ``people``.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not readable, or a name is unknown or repeated.
    """
    names: dict[str, None] = {}
    for row, cell in enumerate(read_variable(path, 'pool').ravel('F')):
        name = image_name(cell)
        if name not in people:
            raise ValueError(f'{path}: row {row} (counted from 0), {name!r}, is not in Images.mat')
        if name in names:
            raise ValueError(f'{path}: row {row} (counted from 0) repeats {name!r}')
        names[name] = None
    return list(names)


def image_name(array: np.ndarray) -> str:
    """The name that a row of characters holds.

    Raises:
        ValueError: It is none.
    """
    if not isinstance(array, np.ndarray) or array.dtype.kind != 'U' or array.size != 1:
        raise ValueError(f'{array!r} instead of an image name')
    return str(array.item())
