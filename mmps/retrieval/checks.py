"""Checks of what is given to a gallery."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from mmps.sources.provenance import check_time

from .records import IndexedFrame, Value

UNIT = 1e-3
"""How far the norm of an embedding may be from 1: half-precision models round that much."""


def checked_frame(frame: IndexedFrame, dim: int) -> IndexedFrame:
    """The frame with arrays of the right types.

    Raises:
        ValueError: Something does not fit; the message names the frame and the part of it.
    """
    name = f'{frame.source!r}, frame {frame.frame}'
    if not isinstance(frame.source, str) or not frame.source:
        raise ValueError(f'{name}: source has to be a name')
    _check_text(name, frame.source)
    check_description(frame.camera, frame.time, frame.metadata, name)
    count = len(frame.scores)
    shapes = {'bboxes': (count, 4), 'scores': (count,), 'embeddings': (count, dim)}
    arrays = {}
    for part, shape in shapes.items():
        array = np.asarray(getattr(frame, part), np.float32)
        array = array.reshape(shape) if not array.size and not count else array
        if array.shape != shape:
            raise ValueError(f'{name}: {part} has shape {array.shape}, not {shape}')
        if not np.isfinite(array).all():
            raise ValueError(f'{name}: {part} is not finite')
        arrays[part] = array
    norms = np.linalg.norm(arrays['embeddings'], axis=1)
    if (np.abs(norms - 1) > UNIT).any():
        worst = norms[np.abs(norms - 1).argmax()]
        raise ValueError(f'{name}: embeddings must have unit norm, one has {worst:.4g}')
    _check_number(name, 'offset', frame.offset)
    return replace(frame, **arrays)


def checked_queries(embeddings: np.ndarray, dim: int) -> np.ndarray:
    """Queries (q, D) float32, also from a single one (D,).

    Raises:
        ValueError: Another shape, or values that are not finite.
    """
    queries = np.atleast_2d(np.asarray(embeddings, np.float32))
    if queries.ndim != 2 or queries.shape[1] != dim:
        raise ValueError(f'queries have shape {np.shape(embeddings)}, not (q, {dim})')
    if not np.isfinite(queries).all():
        raise ValueError('queries are not finite')
    return np.ascontiguousarray(queries)


def check_description(
    camera: str | None,
    time: float | None,
    metadata: Mapping[str, Value | None],
    name: str = 'update',
) -> None:
    """Raise ValueError where one of them does not fit; ``name`` tells whose they are."""
    if camera is not None:
        _check_text(name, camera)
    _check_number(name, 'time', time)
    if time is not None:
        try:
            check_time(time)
        except ValueError as error:
            raise ValueError(f'{name}: time: {error}') from error
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str | int | float | bool | None):
            raise ValueError(
                f'{name}: metadata {key!r}: {value!r} is not a name with a string, number or truth '
                'value'
            )
        if isinstance(value, float) and not np.isfinite(value):
            raise ValueError(f'{name}: metadata {key!r} is not finite')


def _check_number(name: str, part: str, value: float | None) -> None:
    if value is not None and not np.isfinite(value):
        raise ValueError(f'{name}: {part} is not finite; None stands for unknown')


def _check_text(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f'{name}: {text!r} is not Unicode; rename it') from None
