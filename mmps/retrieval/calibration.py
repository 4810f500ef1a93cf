"""What is known of strangers: counted in a gallery, and kept beside it with its model's name."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmps.evaluation.functional.calibration import (
    Calibration,
    calibrate_marks,
    calibrate_pairs,
    pairs_in_frames,
)
from mmps.utils.files import write_json

from .engine import Engine
from .records import GalleryError, ModelMismatchError, ModelTag
from .rows import BOX, NOBODY, column

if TYPE_CHECKING:
    import pyarrow as pa

CALIBRATION = 'mmps_calibration.json'
"""Name of the file in the folder of a gallery."""
MOST_PEOPLE = 30_000
"""People whose embeddings are read to count strangers in frames."""


def save_calibration(path: str | os.PathLike, calibration: Calibration, model: ModelTag) -> None:
    """Write a calibration of a model's similarities as JSON, wholly or not at all."""
    content = {
        key: value.tolist() if isinstance(value, np.ndarray) else value
        for key, value in vars(calibration).items()
    }
    write_json(path, dict(model=model.as_dict(), **content))


def load_calibration(path: str | os.PathLike, model: ModelTag) -> Calibration:
    """Read what :func:`save_calibration` wrote.

    Raises:
        ModelMismatchError: It is of another model.
        GalleryError: The file is missing or damaged.
    """
    again = 'calibrate again, with tools/analysis_tools/calibrate.py'
    try:
        content = json.loads(Path(path).read_text())
        made = ModelTag(**content['model'])
        known = {field.name for field in fields(Calibration)}
        calibration = Calibration(**{key: content[key] for key in known})
    except FileNotFoundError:
        raise GalleryError(f'{path}: there is no such calibration; {again}') from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise GalleryError(f'{path}: no calibration, or damaged ({error!r}); {again}') from error
    if made.fingerprint != model.fingerprint:
        raise ModelMismatchError(
            f'{path}: the similarities of {made.name} ({made.fingerprint[:12]}) were calibrated, '
            f'not those of {model.name} ({model.fingerprint[:12]}); {again}'
        )
    return calibration


def calibrate_frames(engine: Engine) -> Calibration:
    """Count how similar people in one frame are, who cannot be the same.

    Raises:
        ValueError: There are too few of them.
    """
    rows = engine.select(None)
    rows = rows.take(np.flatnonzero(column(rows, 'detection') != NOBODY))
    _, of_row, counts = np.unique(column(rows, 'frame_id'), return_inverse=True, return_counts=True)
    rows = rows.take(np.flatnonzero(counts[of_row] > 1))
    sequences, order = _in_order(rows)
    rows, sequences = rows.take(order), sequences[order]
    frame_ids = column(rows, 'frame_id')
    frames = np.cumsum(np.diff(frame_ids, prepend=frame_ids[:1]) != 0)
    step = -(-len(rows) // MOST_PEOPLE)
    if step > 1:
        some = np.flatnonzero(frames % step == 0)
        rows, frames, sequences = rows.take(some), frames[some], sequences[some]
    embeddings = engine.people(column(rows, 'id'))[1]
    boxes = np.stack([column(rows, side) for side in BOX], 1)
    return calibrate_pairs(pairs_in_frames(embeddings, boxes, frames, sequences), 'same frame')


def _in_order(rows: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Number (n,) of the camera, video or folder of each row, and the order (n,) of taking."""
    sources, cameras = (rows.column(name).to_pylist() for name in ('source', 'camera'))
    names = [
        f'camera {camera}'
        if camera is not None
        else source
        if not np.isnan(offset)
        else os.path.dirname(source)
        for source, camera, offset in zip(sources, cameras, column(rows, 'offset'), strict=True)
    ]
    sequences = np.unique(np.array(names, str), return_inverse=True)[1].reshape(-1)
    times = np.nan_to_num(column(rows, 'time'), nan=-np.inf)
    keys = (
        column(rows, 'frame_id'),
        column(rows, 'frame'),
        np.array(sources, str),
        times,
        sequences,
    )
    return sequences, np.lexsort(keys)


def calibrate_saved_marks(files: Sequence[str | os.PathLike], model: ModelTag) -> Calibration:
    """Count how similar the hits were that users of the page have marked wrong.

    Args:
        files: ``hits.json`` of a search each, every one for another person.
        model: That of the gallery.

    Raises:
        ModelMismatchError: A search was made with another model.
        GalleryError: A file is missing, damaged or of a search that cannot be used.
        ValueError: There are too few searches, or marks.
    """
    names = [os.path.abspath(file) for file in files]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise GalleryError(f'{twice[0]}: given twice; each file is of another person')
    wrong, complete, searched = [], [], []
    for file in names:
        try:
            content = json.loads(Path(file).read_text())
            query, hits = content['query'], content['hits']
            verdicts = {int(i): 'right' for i in query['right']}
            verdicts |= {int(i): 'wrong' for i in query['wrong']}
            refined, people = bool(content['refined']), int(content['searched'])
            pairs = [(verdicts.get(int(hit['id'])), float(hit['similarity'])) for hit in hits]
            fingerprint = content['model']['fingerprint']
        except FileNotFoundError:
            raise GalleryError(f'{file}: there is no such file') from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise GalleryError(
                f'{file}: not a hits.json with marks, as the page saves it ({error!r}); search, '
                'mark the hits, and make the files again'
            ) from error
        if fingerprint != model.fingerprint:
            raise ModelMismatchError(
                f'{file}: this search was made with another model than {model.name}; search with '
                'that one'
            )
        if refined:
            raise GalleryError(
                f'{file}: these hits were ranked by several pictures or by marks; save the search '
                'for one picture, before "Search again with these marks"'
            )
        known = next((n for n, (verdict, _) in enumerate(pairs) if verdict is None), len(pairs))
        if not known:
            raise GalleryError(f'{file}: the first hit has no mark; mark hits from there on')
        wrong.append(np.array([value for verdict, value in pairs[:known] if verdict == 'wrong']))
        complete.append(pairs[known - 1][1])
        searched.append(people - len(query['right']))
    return calibrate_marks(wrong, complete, searched, 'marks')
