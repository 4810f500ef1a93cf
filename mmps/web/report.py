"""A case as one page of HTML that opens from a disk: pictures inside, nobody else recognisable."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mmps.apis.judgement import Judgement
from mmps.retrieval import Appearance, Gallery, refined_query
from mmps.sources import format_offset, format_time
from mmps.version import __version__
from mmps.visualization import blur_others
from mmps.visualization.draw import ACCENT, CELL_HEIGHT, CELL_WIDTH, crop_in_context, outline
from mmps.web.markup import count, environment, span
from mmps.web.scenes import Scenes, fitting, source_name, to_jpeg
from mmps.web.session import Case, Exemplar
from mmps.web.timeline import timeline

_SCENE = 480
"""Pixels across a scene."""
_HERE = Path(__file__).parent


def write_report(case: Case, gone: int, gallery: Gallery, scenes: Scenes) -> bytes:
    """The report, a file of HTML.

    It asks nothing of any server and runs no script. Everything but the person is reduced to
    coarse squares in each picture (:func:`mmps.visualization.blur_others`). So many of those who
    were marked are ``gone`` from the gallery.
    """
    to = refined_query(np.stack([exemplar.embedding for exemplar in case.exemplars]))
    right, wrong = (_like(to, ids, gallery) for ids in (case.marks.right, case.marks.wrong))
    calibration, judgement = gallery.calibration, None
    if len(case.exemplars) == 1:
        judgement = Judgement.of(calibration, right, gallery)
    chances = ['' if judgement is None else judgement.chance(n) for n in range(len(right))]
    ordered = sorted(zip(right, chances, strict=True), key=lambda pair: _begin(pair[0]))
    cameras = {each.camera for each in right if each.camera is not None}
    facts = [count(len(right), 'appearance')]
    facts += [count(len(cameras), 'camera')] if cameras else []
    info, model = gallery.info(), gallery.model
    origin = {
        'model': f'{model.name}, fingerprint {model.fingerprint}',
        'gallery': info.address,
        'gallery fingerprint': gallery.fingerprint(),
        'searched': f'{count(info.people, "sighting")} in '
        f'{count(info.frames, "frame")}, {count(len(info.cameras), "camera")}',
        'program': f'mmps {__version__}',
    }
    styles = [(_HERE / name).read_text('utf-8') for name in ('report.css', 'timeline.css')]
    page = environment.get_template('report.html').render(
        title=case.title or 'Where a person was seen',
        style=''.join(styles),
        facts=[*facts, f'written {format_time(time.time())}'],
        case=case,
        timeline=timeline([one for one, _ in ordered], {one.id for one in right}, still=True),
        right=[(one, chance, _pictures(one, scenes)) for one, chance in ordered],
        wrong=wrong,
        gone=gone,
        judgement=judgement,
        calibration=calibration,
        origin=origin,
    )
    return page.encode()


def _like(embedding: np.ndarray, ids: Sequence[int], gallery: Gallery) -> list[Appearance]:
    """The appearances of people, each once, the most similar to an embedding (D,) first."""
    similarities = gallery.embeddings_of(ids) @ embedding
    found = {}
    for one, similarity in zip(gallery.appearances_of(ids), similarities, strict=True):
        if one.id not in found or found[one.id].similarity < similarity:
            found[one.id] = replace(one, similarity=float(similarity))
    return sorted(found.values(), key=lambda one: -one.similarity)


def _begin(one: Appearance) -> float:
    return next((value for value in (one.first, one.start) if value is not None), float('inf'))


def _unmistakable(exemplar: Exemplar) -> bytes:
    """The person of an exemplar, cut out, and nobody else."""
    cut = blur_others(exemplar.cut, np.asarray(exemplar.bbox))
    return to_jpeg(crop_in_context(cut, exemplar.bbox, CELL_WIDTH, CELL_HEIGHT)[0], CELL_HEIGHT)


def _pictures(one: Appearance, scenes: Scenes) -> tuple[bytes, bytes] | None:
    """The best picture of an appearance cut out, and its scene; None where it is gone."""
    scene, bbox = scenes.pixels(one.best, blur_others=True), np.array(one.best.bbox)
    if scene is None:
        return None
    crop, _ = crop_in_context(scene, bbox, 2 * CELL_WIDTH, 2 * CELL_HEIGHT)
    small = fitting(scene, _SCENE).copy()
    outline(small, bbox * small.shape[1] / scene.shape[1], ACCENT, 2)
    return to_jpeg(crop, 2 * CELL_HEIGHT), to_jpeg(small, _SCENE)


def _rows(one: Appearance, chance: str) -> dict[str, str]:
    """What is known of an appearance."""
    known = None not in (one.start, one.end)
    rows = {
        'similarity': f'{one.similarity:.2f}',
        'strangers': chance and f'{chance} looks at least as similar',
        'file': source_name(one.source),
        'in the video': known and span(format_offset(one.start), format_offset(one.end)),
        'frames': one.frames > 1 and str(one.frames),
    }
    return {name: value for name, value in rows.items() if value}


environment.filters |= dict(rows=_rows, unmistakable=_unmistakable)
