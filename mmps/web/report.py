"""A case as one page of HTML that opens from a disk: pictures inside, nobody else recognisable."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmps.apis.judgement import Judgement
from mmps.retrieval import Appearance, Gallery
from mmps.sources import format_offset, format_time
from mmps.version import __version__
from mmps.visualization import blur_others
from mmps.visualization.draw import ACCENT, CELL_HEIGHT, CELL_WIDTH, crop_in_context, outline
from mmps.web.markup import count, data_address, entries, escape, moment_of
from mmps.web.scenes import Scenes, fitting, source_name, to_jpeg
from mmps.web.session import Case
from mmps.web.timeline import timeline

_SCENE = 480
"""Pixels across a scene."""
_HERE = Path(__file__).parent
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def write_report(
    case: Case,
    right: Sequence[Appearance],
    wrong: Sequence[Appearance],
    judgement: Judgement | None,
    gone: int,
    gallery: Gallery,
    scenes: Scenes,
) -> bytes:
    """The report, a file of HTML.

    It asks nothing of any server and runs no script. Everything but the person is reduced to
    coarse squares in each picture (:func:`mmps.visualization.blur_others`). Similarities of those
    who are ``right`` and ``wrong`` are to the pictures of the case; so many of the marked are
    ``gone`` from the gallery.
    """
    order = sorted(range(len(right)), key=lambda n: (_begin(right[n]), n))
    right = [right[number] for number in order]
    chances = [judgement.chance(number) if judgement is not None else '' for number in order]
    title = escape(case.title or 'Where a person was seen')
    style = (_HERE / 'report.css').read_text('utf-8') + (_HERE / 'timeline.css').read_text('utf-8')
    cameras = {each.camera for each in right if each.camera is not None}
    facts = [count(len(right), 'appearance')]
    facts += [count(len(cameras), 'camera')] if cameras else []
    facts.append(f'written {format_time(time.time())}')
    notes = f'<section><h2>Notes</h2><p class="notes">{escape(case.notes)}</p></section>'
    items = ''.join(
        _item(number, one, chance, scenes)
        for number, (one, chance) in enumerate(zip(right, chances, strict=True), start=1)
    )
    drawn = timeline(right, {one.id for one in right}, still=True) if right else ''
    parts = [
        f'<header><h1>{title}</h1><p>{escape(" · ".join(facts))}</p></header>',
        notes if case.notes else '',
        '<section><h2>Who was searched for</h2><ul class="queries">',
        f'{_queries(case)}</ul></section>',
        f'<section><h2>When and where</h2>{drawn}</section>' if drawn else '',
        f'<section><h2>Appearances</h2><ol>{items}</ol></section>',
        _others(wrong, gone, len(case.lookalikes)),
        f'<section><h2>What similarity means</h2>{_meaning(case, judgement, gallery)}</section>',
        _origin(gallery),
    ]
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<title>{title}</title><style>{style}</style>'
    )
    page = f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>'
    return page.encode()


def _begin(one: Appearance) -> float:
    return next((value for value in (one.first, one.start) if value is not None), float('inf'))


def _queries(case: Case) -> str:
    items = []
    for exemplar in case.exemplars:
        picture = '<span class="gone">picture not there any more</span>'
        if exemplar.cut is not None:
            cut = blur_others(exemplar.cut, np.asarray(exemplar.bbox))
            crop, _ = crop_in_context(cut, exemplar.bbox, CELL_WIDTH, CELL_HEIGHT)
            picture = _image(crop, CELL_HEIGHT, exemplar.name)
        items.append(f'<li>{picture}<span>{escape(exemplar.name)}</span></li>')
    return ''.join(items)


def _item(number: int, one: Appearance, chance: str, scenes: Scenes) -> str:
    hit = one.best
    scene = scenes.pixels(hit, blur_others=True)
    pictures = '<p class="gone">The picture is not there any more.</p>'
    if scene is not None:
        bbox = np.array(hit.bbox)
        crop, _ = crop_in_context(scene, bbox, 2 * CELL_WIDTH, 2 * CELL_HEIGHT)
        small = fitting(scene, _SCENE).copy()
        outline(small, bbox * small.shape[1] / scene.shape[1], ACCENT, 2)
        pictures = _image(crop, 2 * CELL_HEIGHT, f'Appearance {number}') + _image(
            small, _SCENE, f'Its scene, in which only appearance {number} can be recognised'
        )
    where = 'camera not known' if one.camera is None else f'camera {one.camera}'
    rows = {
        'similarity': f'{one.similarity:.2f}',
        'strangers': chance and f'{chance} looks at least as similar',
        'file': source_name(one.source),
        'in the video': _span(one.start, one.end, format_offset),
        'frames': str(one.frames) if one.frames > 1 else '',
    }
    table = entries({name: value for name, value in rows.items() if value})
    title = f'{number}. {where}, {moment_of(one) or "time not known"}'
    return f'<li><h3>{escape(title)}</h3><div class="shots">{pictures}</div><dl>{table}</dl></li>'


def _span(first: float | None, last: float | None, write) -> str:
    if first is None or last is None:
        return ''
    begin, end = write(first), write(last)
    return begin if begin == end else f'{begin} to\N{NO-BREAK SPACE}{end}'


def _others(wrong: Sequence[Appearance], gone: int, lookalikes: int) -> str:
    lines = [f'<li>{escape(_place(one))}, similarity {one.similarity:.2f}</li>' for one in wrong]
    notes = ''
    if gone:
        notes += (
            f'<p>{count(gone, "mark is", "marks are")} of people who are not in the gallery any '
            'more.</p>'
        )
    if lookalikes:
        notes += (
            f'<p>The search kept away from {count(lookalikes, "picture")} of people '
            'who look alike.</p>'
        )
    if not lines:
        return notes and f'<section>{notes}</section>'
    return (
        '<section><h2>Somebody else</h2><p>These look alike and were marked as not the person. '
        f'They are not shown.</p><ul>{"".join(lines)}</ul>{notes}</section>'
    )


def _place(one: Appearance) -> str:
    parts = [
        '' if one.camera is None else f'camera {one.camera}',
        moment_of(one),
        source_name(one.source),
    ]
    return ', '.join(filter(None, parts))


def _meaning(case: Case, judgement: Judgement | None, gallery: Gallery) -> str:
    pictures = len(case.exemplars)
    to = 'the picture' if pictures == 1 else f'the mean of the {pictures} pictures'
    text = (
        f'<p>Similarity compares an appearance with {to} above, by the numbers in which a network '
        'describes people; 1 is the most. It is no probability, and not evidence that two pictures '
        'show one person: a person has looked at each appearance and marked it.</p>'
    )
    if judgement is not None:
        known = gallery.calibration
        return (
            f'{text}<p>&ldquo;1 in 200&rdquo; says that one in 200 people who are not the person '
            'looks at least as similar. It was counted from '
            f'{count(known.pairs, "pair")} of pictures of different people '
            f'({escape(known.source)}). {count(judgement.searched, "person", "people")} '
            'were searched.</p>'
        )
    why = 'the gallery is not calibrated'
    if gallery.calibration is not None:
        why = 'strangers were counted for single pictures, and this case has several'
    return f'{text}<p>How many strangers look as similar is not known: {why}.</p>'


def _origin(gallery: Gallery) -> str:
    info, model = gallery.info(), gallery.model
    rows = {
        'model': f'{model.name}, fingerprint {model.fingerprint}',
        'gallery': info.address,
        'gallery fingerprint': gallery.fingerprint(),
        'searched': f'{count(info.people, "sighting")} in '
        f'{count(info.frames, "frame")}, {count(len(info.cameras), "camera")}',
        'program': f'mmps {__version__}',
    }
    return f'<section><h2>Made with</h2><dl class="origin">{entries(rows)}</dl></section>'


def _image(image: np.ndarray, side: int, name: str) -> str:
    source = data_address(to_jpeg(image, side), 'image/jpeg')
    return f'<img src="{source}" alt="{escape(name)}">'
