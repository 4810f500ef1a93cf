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
from .records import GalleryError, ModelTag
from .rows import BOX, NOBODY, check_model, embeddings_in, of_people

if TYPE_CHECKING:
    pass

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
    check_model(f'{path}: this calibration', made, model, again)
    return calibration


def calibrate_frames(engine: Engine) -> Calibration:
    """Count how similar people in one frame are, who cannot be the same.

    Raises:
        ValueError: There are too few of them.
    """
    import pandas

    names = ['id', 'frame_id', 'frame', 'detection', 'offset', 'time', *BOX, 'source', 'camera']
    people = engine.select(None).select(names).to_pandas().astype({'source': str, 'camera': object})
    people = people[people.detection != NOBODY]
    people = people[people.groupby('frame_id').id.transform('size') > 1]
    # in the order of time, by camera; where that is unknown, by video or folder
    folders = people.source.map(os.path.dirname)
    places = people.source.where(people.offset.notna(), folders)
    people = people.assign(sequence=places.where(people.camera.isna(), 'camera ' + people.camera))
    keys = ['sequence', 'time', 'source', 'frame', 'frame_id']
    people = people.sort_values(keys, na_position='first')
    people['place'] = (people.frame_id != people.frame_id.shift(1)).cumsum() - 1
    people = people[people.place % max(1, -(-len(people) // MOST_PEOPLE)) == 0]
    ids, boxes = people.id.to_numpy(), people[[*BOX]].to_numpy()
    embeddings = embeddings_in(of_people(engine.having('id', ids), ids))
    sequences = pandas.factorize(people.sequence)[0]
    pairs = pairs_in_frames(embeddings, boxes, people.place.to_numpy(), sequences)
    return calibrate_pairs(pairs, 'same frame')


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
            made = ModelTag(**content['model'])
        except FileNotFoundError:
            raise GalleryError(f'{file}: there is no such file') from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise GalleryError(
                f'{file}: not a hits.json with marks, as the page saves it ({error!r}); search, '
                'mark the hits, and make the files again'
            ) from error
        check_model(f'{file}: this search', made, model, 'search with that one')
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
