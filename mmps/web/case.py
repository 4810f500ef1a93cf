"""A case as a file: what somebody has found out about one person, to be opened again."""

import base64
import json
from typing import Any

import numpy as np

from mmps.retrieval import Gallery
from mmps.sources import decode_image
from mmps.web.scenes import to_jpeg
from mmps.web.session import LONGEST_TITLE, MOST_EXEMPLARS, Case, Exemplar, Marks

_VERSION = 1
_MOST_MARKS = 10_000
_UNIT = 1e-3


def pack_case(case: Case, gallery: Gallery) -> bytes:
    """A case as a file of JSON. It has the pictures of the person, but none of the gallery."""
    model = gallery.model
    content = dict(
        mmps_case=_VERSION,
        title=case.title,
        notes=case.notes,
        model=dict(name=model.name, fingerprint=model.fingerprint),
        gallery=dict(address=gallery.info().address, fingerprint=gallery.fingerprint()),
        pictures=[_pack(exemplar) for exemplar in case.exemplars],
        lookalikes=[_pack(exemplar) for exemplar in case.lookalikes],
        right=[str(number) for number in case.marks.right],
        wrong=[str(number) for number in case.marks.wrong],
    )
    return json.dumps(content, indent=1).encode()


def _pack(exemplar: Exemplar) -> dict[str, Any]:
    cut = exemplar.cut
    return dict(
        name=exemplar.name,
        embedding=base64.b64encode(exemplar.embedding.astype('<f4').tobytes()).decode(),
        bbox=[float(value) for value in exemplar.bbox],
        jpeg=None if cut is None else base64.b64encode(to_jpeg(cut, max(cut.shape))).decode(),
    )


def read_case(content: bytes, gallery: Gallery, max_pixels: int) -> Case:
    """A case from a file, of which nothing is believed.

    Raises:
        ValueError: It is no case, or one of another model.
    """
    try:
        read = json.loads(content)
    except ValueError as error:
        raise ValueError('this is no case: a file case.json of this page is needed') from error
    if not isinstance(read, dict) or read.get('mmps_case') != _VERSION:
        raise ValueError('this is no case: a file case.json of this page is needed')
    try:
        model, fingerprint = read['model']['name'], read['model']['fingerprint']
        if fingerprint != gallery.model.fingerprint:
            raise ValueError(
                f'this case was made with the model {model}, whose pictures cannot be compared '
                f'with those of {gallery.model.name}'
            )
        exemplars, lookalikes = (
            tuple(
                _unpack(one, gallery.model.embed_dim, max_pixels)
                for one in _listed(pictures, MOST_EXEMPLARS)
            )
            for pictures in (read['pictures'], read.get('lookalikes', []))
        )
        marks = Marks(_ids(read['right']), _ids(read['wrong']))
        return Case(exemplars=exemplars, marks=marks, lookalikes=lookalikes).written(
            _text(read['title']), _text(read['notes'])
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'this case is damaged ({type(error).__name__}: {error})') from error


def _unpack(picture: dict[str, Any], dim: int, max_pixels: int) -> Exemplar:
    raw = base64.b64decode(_text(picture['embedding']), validate=True)
    embedding = np.frombuffer(raw, '<f4').astype(np.float32) if len(raw) == 4 * dim else None
    if embedding is None or not abs(np.linalg.norm(embedding) - 1) < _UNIT:
        raise ValueError('this case is damaged: an embedding does not fit')
    bbox, cut = np.array(picture['bbox'], np.float32), None
    if bbox.shape != (4,) or not np.isfinite(bbox).all() or not (bbox[2:] > bbox[:2]).all():
        raise ValueError('this case is damaged: a box does not fit')
    if picture['jpeg'] is not None:
        cut = decode_image(base64.b64decode(_text(picture['jpeg']), validate=True), max_pixels)
    return Exemplar(embedding, cut, bbox, _text(picture['name'])[:LONGEST_TITLE])


def _ids(texts: Any) -> tuple[int, ...]:
    numbers = [int(_text(text)) for text in _listed(texts, _MOST_MARKS)]
    return tuple(number for number in dict.fromkeys(numbers) if 0 <= number < 2**63)


def _listed(value: Any, limit: int) -> list:
    if not isinstance(value, list) or len(value) > limit:
        raise ValueError(f'this case is damaged: a list is missing or longer than {limit}')
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f'{value!r} is no text')
    return value
