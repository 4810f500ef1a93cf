"""HTML of the page's own parts. Every text that is not written here is escaped."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence

import numpy as np

from mmps.retrieval import GalleryInfo, Hit
from mmps.sources import format_offset, format_time
from mmps.visualization.cell import CELL_HEIGHT, CELL_WIDTH, crop_in_context

from .pictures import to_jpeg
from .scenes import hit_name
from .session import Exemplar, Session

_STEPS = (-5, -1, 1, 5)
"""Seconds that the buttons below a video's frame go back and on."""

_SCENE_HEIGHT = 56
"""Per cent of the window's height that a scene takes at most: the video is below it."""

_TAG_PIXELS = 40
"""What a number above a box takes, in pixels of most pictures."""


def escape(text: object) -> str:
    """Text for HTML, also inside of attributes."""
    return html.escape(str(text))


def data_address(content: bytes, kind: str) -> str:
    """Content as an address, so that no file has to be served."""
    return f'data:{kind};base64,{base64.b64encode(content).decode()}'


def headline(info: GalleryInfo) -> str:
    """What the gallery holds, in a line."""
    parts = [
        _count(info.people, 'person', 'people') + ' found',
        _count(info.frames, 'scene', 'scenes'),
        _count(len(info.cameras), 'camera', 'cameras') if info.cameras else '',
    ]
    if info.first is not None and info.last is not None:
        parts.append(f'{format_time(info.first)[:16]} to {format_time(info.last)[:16]}')
    facts = ' · '.join(part for part in parts if part)
    return f'<header class="ps-head"><h1>Find a person</h1><p>{escape(facts)}</p></header>'


def _count(number: int, one: str, many: str) -> str:
    return f'{number:,} {one if number == 1 else many}'.replace(',', ' ')


def picker(session: Session) -> str:
    """Where a picture is dropped, and where a person in it is chosen."""
    picture = session.picture
    if picture is None:
        return (
            '<label class="ps-drop"><input type="file" accept="image/*" '
            'aria-label="Picture of the person">'
            '<span class="ps-drop-big">Drop a picture of the person here</span>'
            '<span>or click to choose a file, or paste one</span></label>'
        )
    count = len(picture.people)
    if count == 0:
        note = 'Nobody was found in it. Try another picture.'
    elif count == 1:
        note = 'One person was found.'
    else:
        note = f'{count} people were found. Choose one.'
    # of overlapping people the smaller ones can be clicked, too
    order = np.argsort([-_area(bbox) for bbox in picture.people.bboxes], kind='stable')
    buttons = ''.join(
        f'<button type="button" class="{_box_class(picture.people.bboxes[number])}" '
        f'data-person="{number}" '
        f'aria-pressed="{_truth(session.chosen == number)}" '
        f'style="{_place(picture.people.bboxes[number], picture.size)}" '
        f'aria-label="Person {number + 1}, {picture.people.scores[number]:.0%} certain">'
        f'<span>{number + 1}</span></button>'
        for number in order
    )
    source = data_address(picture.jpeg, 'image/jpeg')
    return (
        f'<figure class="ps-picture"><div class="ps-stage">'
        f'<img src="{source}" alt="{escape(picture.name)}">{buttons}</div>'
        f'<figcaption><span role="status">{note}</span>'
        '<label class="ps-link"><input type="file" accept="image/*" '
        'aria-label="Another picture">Another picture</label></figcaption></figure>'
    )


def exemplars(session: Session) -> str:
    """Who is searched for."""
    if not session.exemplars:
        return ''
    chips = ''.join(_chip(number, exemplar) for number, exemplar in enumerate(session.exemplars))
    count = len(session.exemplars)
    title = 'Searching for' if count == 1 else f'Searching for the mean of {count} pictures'
    return f'<h2>{title}</h2><ul class="ps-chips">{chips}</ul>'


def _box_class(bbox: np.ndarray) -> str:
    return 'ps-box ps-high' if bbox[1] < _TAG_PIXELS else 'ps-box'


def _chip(number: int, exemplar: Exemplar) -> str:
    name = escape(exemplar.name)
    picture = '<span class="ps-gone">?</span>'
    if exemplar.cut is not None:
        crop, _ = crop_in_context(exemplar.cut, exemplar.bbox, CELL_WIDTH, CELL_HEIGHT)
        picture = f'<img src="{data_address(to_jpeg(crop, CELL_HEIGHT), "image/jpeg")}" alt="">'
    return (
        f'<li title="{name}">{picture}<span>{name}</span><button type="button" '
        f'data-drop="{number}" aria-label="Leave out {name}">&times;</button></li>'
    )


def results(session: Session, whole_scenes: bool) -> str:
    """Who was found, best first."""
    if not session.exemplars:
        return (
            '<div class="ps-empty"><p>Choose a person, and whoever looks most like them appears '
            'here, the most similar first.</p></div>'
        )
    if not session.hits:
        return '<div class="ps-empty"><p>Nobody in the gallery passes the filter.</p></div>'
    cards = ''.join(
        _card(rank, hit, session, whole_scenes) for rank, hit in enumerate(session.hits, start=1)
    )
    # always there: the focus stays where it is only as long as the elements do
    marks = (
        f'<p class="ps-marks"{"" if session.right or session.wrong else " hidden"}>'
        f'<span role="status">{len(session.right)} right, {len(session.wrong)} wrong</span>'
        '<button type="button" data-act="refine" class="ps-strong">Search again with these '
        'marks</button><button type="button" data-act="clear">Clear</button></p>'
    )
    kind = 'ps-scenes' if whole_scenes else 'ps-crops'
    return f'{marks}<ol class="ps-hits {kind}">{cards}</ol>'


def _card(rank: int, hit: Hit, session: Session, whole_scene: bool) -> str:
    mark = 'right' if hit.id in session.right else 'wrong' if hit.id in session.wrong else ''
    picture = 'thumbnail' if whole_scene else 'crop'
    ratio = (CELL_WIDTH, CELL_HEIGHT)
    if whole_scene:
        ratio = hit.size
    name, facts = escape(hit_name(hit)), [escape(fact) for fact in _facts(hit)]
    described = ', '.join([f'Rank {rank}', f'similarity {hit.similarity:.2f}', *facts, name])
    share = max(0.0, min(1.0, hit.similarity))
    lines = ''.join(f'<span class="ps-fact">{fact}</span>' for fact in facts)
    return (
        f'<li class="ps-hit" data-mark="{mark}">'
        f'<button type="button" class="ps-shot" data-act="open" data-id="{hit.id}" '
        f'aria-label="{described}: open the scene">'
        f'<img src="hit/{hit.id}/{picture}.jpg" alt="not there any more" '
        f'loading="lazy" width="{ratio[0]}" height="{ratio[1]}">'
        f'<span class="ps-rank">{rank}</span></button>'
        f'<div class="ps-similarity"><b>{hit.similarity:.2f}</b>'
        f'<span><i style="width:{share:.0%}"></i></span></div>'
        f'<div class="ps-facts">{lines}<span class="ps-name" title="{name}">{name}</span></div>'
        f'<div class="ps-acts">'
        f'{_toggle("right", hit, mark, "&#10003;", f"Rank {rank} is the person")}'
        f'{_toggle("wrong", hit, mark, "&#10007;", f"Rank {rank} is somebody else")}'
        f'<button type="button" data-act="search" data-id="{hit.id}" '
        f'aria-label="Search for rank {rank}">Search</button></div></li>'
    )


def _toggle(act: str, hit: Hit, mark: str, sign: str, label: str) -> str:
    return (
        f'<button type="button" class="ps-{act}" data-act="{act}" data-id="{hit.id}" '
        f'aria-pressed="{_truth(mark == act)}" aria-label="{label}" title="{label}">{sign}'
        '</button>'
    )


def scene(hit: Hit, similarity: float, people: Iterable[Hit]) -> str:
    """A hit in its scene, or at its time in the video.

    Args:
        hit: Who is outlined.
        similarity: To who is searched for; NaN: unknown.
        people: Everybody in the scene, each of whom can be searched for.
    """
    others = sorted((each for each in people if each.id != hit.id), key=lambda e: -_area(e.bbox))
    boxes = ''.join(_scene_box(each, each.id == hit.id) for each in [*others, hit])
    facts = [*_facts(hit), hit_name(hit)]
    if similarity == similarity:
        facts.insert(0, f'similarity {similarity:.2f}')
    title = escape(' · '.join(facts))
    video = '' if hit.offset is None else _video(hit)
    metadata = ''.join(
        f'<div><dt>{escape(key)}</dt><dd>{escape(value)}</dd></div>'
        for key, value in hit.metadata.items()
    )
    return (
        f'<div class="ps-bar"><h2>{title}</h2>'
        '<button type="button" data-close aria-label="Close" class="ps-close">&times;</button>'
        f'</div><div class="ps-stage" data-frame="hit/{hit.id}/scene.jpg" '
        f'style="width:min(100%,{_SCENE_HEIGHT * hit.size[0] / hit.size[1]:.1f}vh)">'
        f'<img src="hit/{hit.id}/scene.jpg" alt="The picture is not there any more" '
        f'width="{hit.size[0]}" height="{hit.size[1]}">{boxes}</div>'
        f'{video}<p class="ps-note">Anybody outlined can be clicked to search for them.</p>'
        f'<dl class="ps-meta"><div><dt>file</dt><dd>{escape(hit.source)}</dd></div>{metadata}</dl>'
    )


def _scene_box(hit: Hit, is_match: bool) -> str:
    kind, label = ('ps-match', 'The match') if is_match else ('ps-other', 'Somebody else')
    return (
        f'<button type="button" class="ps-box {kind}" data-act="search" data-id="{hit.id}" '
        f'style="{_place(hit.bbox, hit.size)}" aria-label="{label}: search for them"></button>'
    )


def _video(hit: Hit) -> str:
    steps = ''.join(
        f'<button type="button" data-step="{step}" aria-label="{abs(step)} seconds '
        f'{"earlier" if step < 0 else "later"}">{step:+d} s</button>'
        for step in _STEPS
    )
    return (
        f'<div class="ps-steps" data-offset="{hit.offset}"><span role="status">'
        f'{format_offset(hit.offset or 0)}</span>{steps}'
        '<button type="button" data-step="0">Back to the match</button></div>'
        f'<video controls preload="metadata" src="hit/{hit.id}/video#t={hit.offset:.2f}" '
        'aria-label="The video, from the match on"></video>'
    )


def frames(page: Sequence[tuple[int, str]], start: int, total: int) -> str:
    """Scenes of the gallery, to choose a person in."""
    if not total:
        return '<p class="ps-note">No scene has such a name.</p>'
    cards = ''.join(
        f'<li><button type="button" data-frame="{key}" title="{escape(name)}">'
        f'<img src="frame/{key}.jpg" alt="" loading="lazy"><span>{escape(name)}</span>'
        '</button></li>'
        for key, name in page
    )
    end = start + len(page)
    back = '' if start > 0 else ' disabled'
    more = '' if end < total else ' disabled'
    return (
        f'<ul class="ps-frames">{cards}</ul><div class="ps-pages">'
        f'<button type="button" data-turn="-1"{back}>Back</button>'
        f'<span>{start + 1} to {end} of {total}</span>'
        f'<button type="button" data-turn="1"{more}>More</button></div>'
    )


def downloads(content: bytes, sheet: bytes) -> str:
    """Links to what was found, as files."""
    files = (('hits.json', content, 'application/json'), ('hits.png', sheet, 'image/png'))
    links = ''.join(
        f'<a class="ps-file" download="{name}" href="{data_address(data, kind)}">{name} '
        f'<small>{max(1, round(len(data) / 1000))} kB</small></a>'
        for name, data, kind in files
    )
    return f'<p class="ps-files">{links}</p>'


def _facts(hit: Hit) -> list[str]:
    facts = [] if hit.camera is None else [f'cam {hit.camera}']
    return facts if hit.time is None else [*facts, format_time(hit.time)[:19]]


def _place(bbox: Sequence[float], size: tuple[int, int]) -> str:
    x1, y1, x2, y2 = (float(value) for value in bbox)
    width, height = size
    left, top = 100 * x1 / width, 100 * y1 / height
    wide, high = 100 * (x2 - x1) / width, 100 * (y2 - y1) / height
    return f'left:{left:.2f}%;top:{top:.2f}%;width:{wide:.2f}%;height:{high:.2f}%'


def _area(bbox: Sequence[float]) -> float:
    return float((bbox[2] - bbox[0]) * (bbox[3] - bbox[1]))


def _truth(value: bool) -> str:
    return 'true' if value else 'false'
