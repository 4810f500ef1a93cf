"""HTML of the page's own parts. Every text that is not written here is escaped."""

import base64
import html
import json
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from mmps.apis.judgement import Judgement
from mmps.retrieval import Appearance, GalleryInfo, Hit, Recurring
from mmps.sources import format_offset, format_time
from mmps.visualization.draw import (
    CELL_HEIGHT,
    CELL_WIDTH,
    crop_in_context,
    place_in_context,
    place_labels,
)

from .scenes import hit_name, source_name, to_jpeg
from .session import Case, Edges, Exemplar, Marks, Picture, Session

_STEPS = (-5, -1, 1, 5)
"""Seconds that the buttons below a video's frame go back and on."""

_THIN = '\u202f'
"""A narrow space, between thousands."""

_SCENE_HEIGHT = 56
"""Per cent of the window's height that a scene takes at most: the video is below it."""


def escape(text: object) -> str:
    """Text for HTML, also inside of attributes."""
    return html.escape(str(text))


def data_address(content: bytes, kind: str) -> str:
    """Content as an address, so that no file has to be served."""
    return f'data:{kind};base64,{base64.b64encode(content).decode()}'


def headline(info: GalleryInfo) -> str:
    """What the gallery holds, in a line."""
    images = info.frames - info.video_frames
    places = [
        count(images, 'image') if images or not info.video_frames else '',
        count(info.video_frames, 'video frame') if info.video_frames else '',
    ]
    parts = [
        f'{count(info.people, "sighting")} in {" and ".join(filter(None, places))}',
        count(len(info.cameras), 'camera') if info.cameras else '',
        _times(info),
        'scenes do not weigh here' if info.model.scene_dim else '',
    ]
    facts = '\N{NO-BREAK SPACE}· '.join(part for part in parts if part)
    return f'<header class="ps-head"><h1>Find a person</h1><p>{escape(facts)}</p></header>'


def _times(info: GalleryInfo) -> str:
    """When people were taken, and of how many that is known."""
    if not info.timed:
        return 'no times known'
    if info.timed == info.people:
        return _span(info)
    return f'{count(info.timed, "sighting")} with a time, {_span(info)}'


def _span(info: GalleryInfo) -> str:
    first, last = info.first or 0.0, info.last or 0.0
    digits = 16 if last - first >= 3600 else 19
    begin, end = format_time(first)[:digits], format_time(last)[:digits]
    if begin == end:
        return begin
    return f'{begin} to {end[11:] if end[:11] == begin[:11] else end}'


def count(number: int, one: str, many: str = '') -> str:
    """A number of things, by default with an s, with thousands set apart."""
    return f'{number:,} {one if number == 1 else many or f"{one}s"}'.replace(',', _THIN)


def entries(rows: Mapping[str, object]) -> str:
    """What a list of terms (``dl``) holds."""
    return ''.join(
        f'<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>'
        for name, value in rows.items()
    )


def period(session: Session) -> str:
    """How the times of the filter were read, or why they cannot be."""
    if session.problem:
        return f'<p class="ps-error" role="status">{escape(session.problem)}</p>'
    since, until = session.where.since, session.where.until
    parts = [
        '' if since is None else f'from {format_time(since)} on',
        '' if until is None else f'before {format_time(until)}',
    ]
    read = ', '.join(part for part in parts if part)
    return f'<p class="ps-note" role="status">Only {read}</p>' if read else ''


def results(
    session: Session, whole_scenes: bool, empty: str = '', judged: Judgement | None = None
) -> str:
    """Who was found, best first, in their scene or cut out; ``empty`` says why there is nobody."""
    if not session.exemplars:
        return (
            '<div class="ps-empty"><p>Choose a person, and whoever looks most like them appears '
            'here, the most similar first.</p></div>'
        )
    if session.problem:
        return (
            '<div class="ps-empty ps-error" role="alert"><p><b>The filter cannot be read, so that '
            f'nobody is shown.</b> {escape(session.problem)}</p></div>'
        )
    if not session.hits:
        return f'<div class="ps-empty"><p>{escape(empty[:1].upper() + empty[1:])}.</p></div>'
    cards = [
        _card(rank, hit, session, whole_scenes, judged)
        for rank, hit in enumerate(session.hits, start=1)
    ]
    said = ''
    if judged is not None:
        said = (
            f'<p class="ps-verdict"><span role="status">{escape(judged.describe())}</span> '
            '<small>1 in 200: so many strangers look at least as similar.</small></p>'
        )
        if judged.above < len(cards):
            cards.insert(judged.above, '<li class="ps-line">Probably somebody else</li>')
    # always there: the focus stays where it is only as long as the elements do
    given, kept = session.marks, session.case.marks
    in_case = f' (in the case: {len(kept.right)}, {len(kept.wrong)})' if kept != Marks() else ''
    marks = (
        f'<p class="ps-marks"{"" if given != Marks() else " hidden"}>'
        f'<span role="status">{len(given.right)} right, {len(given.wrong)} wrong{in_case}</span>'
        '<button type="button" data-act="refine" class="ps-strong">Search again with these '
        'marks</button><button type="button" data-act="case">Add to the case</button>'
        '<button type="button" data-act="clear">Clear</button></p>'
    )
    skip = '<a class="ps-skip" href="#save">Skip the hits, to what saves them</a>'
    kind = 'ps-scenes' if whole_scenes else 'ps-crops'
    return f'{said}{marks}{skip}<ol class="ps-hits {kind}">{"".join(cards)}</ol>'


def _card(
    rank: int, hit: Hit, session: Session, whole_scene: bool, judged: Judgement | None
) -> str:
    marks = session.marks
    mark = 'right' if hit.id in marks.right else 'wrong' if hit.id in marks.wrong else ''
    picture = 'thumbnail' if whole_scene else 'crop'
    ratio, alone = (CELL_WIDTH, CELL_HEIGHT), _alone_in_crop(hit.bbox, hit.size)
    if whole_scene:
        ratio, alone = hit.size, _alone(hit.bbox, hit.size)
    appearance = session.appearances[rank - 1] if session.appearances else None
    name, facts = escape(hit_name(hit)), [escape(fact) for fact in _facts(hit, appearance)]
    if judged is not None:
        facts.insert(0, escape(judged.chance(rank - 1)))
    described = ', '.join([f'Rank {rank}', f'similarity {hit.similarity:.2f}', *facts, name])
    share = max(0.0, min(1.0, hit.similarity))
    below = ' ps-below' if judged is not None and rank > judged.above else ''
    lines = ''.join(f'<span class="ps-fact">{fact}</span>' for fact in facts)
    offset = '' if hit.offset is None else f'<span>{format_offset(hit.offset)}</span>'
    return (
        f'<li class="ps-hit{below}" data-mark="{mark}" data-rank="{rank}">'
        f'<button type="button" class="ps-shot" data-act="open" data-id="{hit.id}" '
        f'aria-label="{described}: open the scene">'
        f'<img src="hit/{hit.id}/{picture}.jpg" alt="not there any more" '
        f'loading="lazy" width="{ratio[0]}" height="{ratio[1]}" style="{alone}">'
        f'<span class="ps-rank">{rank}</span></button>'
        f'<div class="ps-similarity"><b>{hit.similarity:.2f}</b>'
        f'<span><i style="width:{share:.0%}"></i></span></div>'
        f'<div class="ps-facts">{lines}<div class="ps-name" title="{name}">'
        f'<span>{escape(source_name(hit.source))}</span>{offset}</div></div>'
        f'<div class="ps-acts">'
        f'{_toggle("right", hit, mark, "&#10003;", f"Rank {rank} is the person")}'
        f'{_toggle("wrong", hit, mark, "&#10007;", f"Rank {rank} is somebody else")}'
        f'<button type="button" data-act="search" data-id="{hit.id}" '
        f'aria-label="Search for rank {rank}">Search</button></div></li>'
    )


def _toggle(act: str, hit: Hit, mark: str, sign: str, label: str) -> str:
    return (
        f'<button type="button" class="ps-{act}" data-act="{act}" data-id="{hit.id}" '
        f'aria-pressed="{truth(mark == act)}" aria-label="{label}" title="{label}">{sign}'
        '</button>'
    )


def scene(hit: Hit, similarity: float, people: Iterable[Hit]) -> str:
    """A hit in its scene, or at its time in the video, and everybody there, to be searched for; a
    similarity that is not known is NaN.
    """
    others = sorted((each for each in people if each.id != hit.id), key=lambda e: -area(e.bbox))
    boxes = ''.join(_scene_box(each, each.id == hit.id) for each in [*others, hit])
    facts = [*_facts(hit), hit_name(hit)]
    if similarity == similarity:
        facts.insert(0, f'similarity {similarity:.2f}')
    title = escape(' · '.join(facts))
    video = '' if hit.offset is None else _video(hit)
    return (
        f'<div class="ps-bar"><h2>{title}</h2>'
        '<button type="button" data-close aria-label="Close" class="ps-close">&times;</button>'
        f'</div><div class="ps-stage" data-frame="hit/{hit.id}/scene.jpg" '
        f'style="width:min(100%,{_SCENE_HEIGHT * hit.size[0] / hit.size[1]:.1f}vh)">'
        f'<img src="hit/{hit.id}/scene.jpg" alt="The picture is not there any more" '
        f'width="{hit.size[0]}" height="{hit.size[1]}">{boxes}</div>'
        f'{video}<p class="ps-note">Anybody outlined can be clicked to search for them.</p>'
        f'<dl class="ps-meta">{entries({"file": hit.source})}{entries(hit.metadata)}</dl>'
    )


def _scene_box(hit: Hit, is_match: bool) -> str:
    kind, label = ('ps-match', 'The match') if is_match else ('ps-other', 'Somebody else')
    return (
        f'<button type="button" class="ps-box {kind}" data-act="search" data-id="{hit.id}" '
        f'style="{box_style(hit.bbox, hit.size)}" aria-label="{label}: search for them"></button>'
    )


def _video(hit: Hit) -> str:
    steps = ''.join(
        f'<button type="button" data-step="{step}" '
        f'aria-label="{count(abs(step), "second")} '
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


def frames(page: Sequence[tuple[int, str, str]], start: int, total: int) -> str:
    """Scenes of the gallery, to choose a person in."""
    if not total:
        return '<p class="ps-note">No scene has such a name.</p>'
    cards = ''.join(
        f'<li><button type="button" data-frame="{key}" title="{escape(f"{name} {when}".strip())}">'
        f'<img src="frame/{key}.jpg" alt="" loading="lazy"><span>{escape(name)}</span>'
        f'<time>{escape(when)}</time></button></li>'
        for key, name, when in page
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


def downloads(**files: bytes) -> str:
    """Links to files by their names, in which ``_`` stands for the dot."""
    kinds = dict(json='application/json', png='image/png', html='text/html')
    named = ((name.replace('_', '.'), data) for name, data in files.items())
    links = ''.join(
        f'<a class="ps-file" download="{name}" '
        f'href="{data_address(data, kinds[name.rpartition(".")[2]])}">{name} '
        f'<small>{max(1, round(len(data) / 1000))} kB</small></a>'
        for name, data in named
    )
    return f'<p class="ps-files">{links}</p>'


def _facts(hit: Hit, appearance: Appearance | None = None) -> list[str]:
    facts = [] if hit.camera is None else [f'cam {hit.camera}']
    if appearance is not None and moment_of(appearance):
        return [*facts, moment_of(appearance)]
    return facts if hit.time is None else [*facts, format_time(hit.time, offset=False)]


def moment_of(one: Appearance) -> str:
    """When somebody appears, for people: from when to when; empty where nobody knows."""
    if one.first is None or one.last is None:
        return ''
    begin, end = (format_time(each, offset=False) for each in (one.first, one.last))
    if begin == end:
        return begin
    return f'{begin} to\N{NO-BREAK SPACE}{end[11:] if end[:10] == begin[:10] else end}'


def box_style(bbox: Sequence[float], size: tuple[int, int]) -> str:
    """CSS of a box xyxy, as shares of the image's width and height."""
    x1, y1, x2, y2 = 100 * np.array(bbox, np.float64) / np.tile(size, 2)
    return f'left:{x1:.2f}%;top:{y1:.2f}%;width:{x2 - x1:.2f}%;height:{y2 - y1:.2f}%'


def _alone(bbox: Sequence[float], size: tuple[int, int]) -> str:
    """CSS of what is around a box xyxy, by which only the box is printed."""
    x1, y1, x2, y2 = np.array(bbox, np.float64) / np.tile(size, 2)
    return f'--alone:{" ".join(f"{max(0.0, edge):.2%}" for edge in (y1, 1 - x2, 1 - y2, x1))}'


def _alone_in_crop(bbox: Sequence[float], size: tuple[int, int]) -> str:
    """The same for the person cut out of an image of a width and height."""
    cut = CELL_WIDTH, CELL_HEIGHT
    return _alone(place_in_context(size, bbox, *cut)[2], cut)


def area(bbox: Sequence[float]) -> float:
    """Of a box xyxy."""
    return float((bbox[2] - bbox[0]) * (bbox[3] - bbox[1]))


def truth(value: bool) -> str:
    """A value of an ``aria-`` attribute."""
    return 'true' if value else 'false'


_NARROWEST = 320
"""Pixels of a picture's width for which the numbers are placed; in a wider one they take less."""

_NUMBER_PADDING, _NUMBER_DIGIT, _NUMBER_HEIGHT = 12, 8, 19
"""Pixels that a number takes on the page."""


def picker(session: Session) -> str:
    """Where a picture is dropped, and where a person in it is chosen."""
    picture = session.picture
    if picture is None:
        refusal = ''
        if session.refusal:
            refusal = f'<p class="ps-error" role="alert">{escape(session.refusal)}</p>'
        return (
            f'{refusal}<label class="ps-drop"><input type="file" accept="image/*" '
            'aria-label="Picture of the person">'
            '<span class="ps-drop-big">Drop a picture of the person here</span>'
            '<span>or click to choose a file, or paste one</span></label>'
        )
    source = data_address(picture.jpeg, 'image/jpeg')
    # numbered: the same picture, sent again, is shown again
    return (
        f'<figure class="ps-picture" data-opened="{session.opened}"><div class="ps-stage">'
        f'<img src="{source}" alt="{escape(picture.name)}">{_boxes(picture, session.chosen)}</div>'
        f'<figcaption><span role="status">{_note(len(picture.people), session.chosen)}</span>'
        '<button type="button" class="ps-link" data-draw>Draw a box</button>'
        '<button type="button" class="ps-link" data-whole>Use it as a whole</button>'
        '<label class="ps-link"><input type="file" accept="image/*" '
        'aria-label="Another picture">Another picture</label></figcaption></figure>'
    )


def _note(people: int, chosen: int | Edges | None) -> str:
    if isinstance(chosen, tuple):
        return 'Whoever is in the box is chosen.'
    if people == 0:
        return 'Nobody was found in it. Draw a box around the person, or use it as a whole.'
    if people == 1:
        return 'One person was found' + ('. Click to search.' if chosen is None else '.')
    if chosen is None:
        return f'{people} people were found. Choose one.'
    return f'Person {chosen + 1} of {people} is chosen.'


def _boxes(picture: Picture, chosen: int | Edges | None) -> str:
    people = picture.people
    drawn = ''
    if isinstance(chosen, tuple):
        drawn = (
            f'<button type="button" class="ps-box ps-drawn" data-edges="{json.dumps(chosen)}" '
            f'aria-pressed="true" aria-label="The box around the person" '
            f'style="{box_style(chosen, (1, 1))};z-index:{len(people)}"></button>'
        )
    scale = _NARROWEST / picture.size[0]
    sizes = [
        (_NUMBER_PADDING + _NUMBER_DIGIT * len(str(number)), _NUMBER_HEIGHT)
        for number in range(1, len(people) + 1)
    ]
    labels = place_labels(people.bboxes * scale, sizes, (_NARROWEST, picture.size[1] * scale))
    # of overlapping people the smaller ones can be clicked, too
    heights = np.argsort(np.argsort([-area(bbox) for bbox in people.bboxes], kind='stable'))
    boxes = ''.join(
        f'<button type="button" class="ps-box" data-person="{number}" '
        f'aria-pressed="{truth(chosen == number)}" '
        f'style="{box_style(bbox, picture.size)};z-index:{height}" '
        f'aria-label="Person {number + 1}, {score:.0%} certain">'
        f'<span class="ps-{label.place}">{number + 1}</span></button>'
        for number, (bbox, score, label, height) in enumerate(
            zip(people.bboxes, people.scores, labels, heights, strict=True)
        )
    )
    return boxes + drawn  # where picker.js has put it, so that it keeps the focus


def jump(session: Session) -> str:
    """The way to the hits, where they are below everything else."""
    if not session.exemplars:
        return ''
    return f'<a href="#results">{count(len(session.hits), "hit")} &darr;</a>'


def exemplars(session: Session) -> str:
    """Who is searched for."""
    if not session.exemplars:
        return ''
    pictures = len(session.exemplars)
    chips = [_chip(*one) for one in enumerate((*session.exemplars, *session.lookalikes))]
    title = 'Searching for' if pictures == 1 else f'Searching for the mean of {pictures} pictures'
    shown = f'<h2>{title}</h2><ul class="ps-chips">{"".join(chips[:pictures])}</ul>'
    if session.lookalikes:
        others = ''.join(chips[pictures:])
        shown += f'<h2>Must not match</h2><ul class="ps-chips ps-unlike">{others}</ul>'
    return shown


def _chip(number: int, exemplar: Exemplar) -> str:
    name = escape(exemplar.name)
    picture = '<span class="ps-gone">?</span>'
    if exemplar.cut is not None:
        crop, box = crop_in_context(exemplar.cut, exemplar.bbox, CELL_WIDTH, CELL_HEIGHT)
        source = data_address(to_jpeg(crop, CELL_HEIGHT), 'image/jpeg')
        alone = _alone(box, (CELL_WIDTH, CELL_HEIGHT))
        picture = f'<img src="{source}" alt="" style="{alone}">'
    return (
        f'<li title="{name}">{picture}<span>{name}</span><button type="button" '
        f'data-drop="{number}" aria-label="Leave out {name}">&times;</button></li>'
    )


_NAMED = 4
"""Cameras of a person that are named; of more their number."""
_SHOWN = 30
"""People of a case, or who appear often, who are shown."""


def recurring(people: Sequence[Recurring], least: int) -> str:
    """Who appears often, each by the appearance that is most like all of theirs."""
    found = count(len(people), 'person appears', 'people appear')
    more = f', of whom {_SHOWN} are shown' if len(people) > _SHOWN else ''
    cards = ''.join(_recurring_card(person) for person in people[:_SHOWN])
    return (
        f'<p class="ps-note" role="status">{found} at least {least} times, as far as they can be '
        f'told apart{more}. The higher the likeness, the surer.</p>'
        f'<ol class="ps-hits ps-crops">{cards}</ol>'
    )


def _recurring_card(person: Recurring) -> str:
    hit = person.typical.hit
    times = [count(len(person.appearances), 'appearance')]
    cameras = sorted({one.camera for one in person.appearances if one.camera is not None})
    where = f'cam {", ".join(cameras)}' if len(cameras) <= _NAMED else f'{len(cameras)} cameras'
    facts = [*times, where if cameras else '']
    lines = ''.join(f'<span class="ps-fact">{escape(fact)}</span>' for fact in facts if fact)
    return (
        f'<li class="ps-hit"><button type="button" class="ps-shot" data-act="search" '
        f'data-id="{hit.id}" aria-label="Person {person.number}, {escape(times[0])}: search">'
        f'<img src="hit/{hit.id}/crop.jpg" alt="not there any more" loading="lazy" '
        f'width="{CELL_WIDTH}" height="{CELL_HEIGHT}">'
        f'<span class="ps-rank">{person.number}</span></button>'
        f'<div class="ps-facts">{lines}<span>likeness {person.likeness:.2f}</span></div></li>'
    )


def case(case: Case) -> str:
    """What a case holds, and the way to another one."""
    right, wrong = case.marks.right, case.marks.wrong
    if case.exemplars:
        pictures = count(len(case.exemplars), 'picture')
        others = f' and {len(case.lookalikes)} of others' if case.lookalikes else ''
        said = f'{pictures} of the person{others}, {len(right)} right and {len(wrong)} wrong.'
    else:
        said = 'Empty. Mark hits right and wrong, then add them; other searches can be added later.'
    people = ''.join(
        f'<li><img src="hit/{hit}/crop.jpg" alt="not there any more" loading="lazy">'
        f'<button type="button" data-drop="{hit}" aria-label="Take number {number} out">'
        '&times;</button></li>'
        for number, hit in enumerate(right[:_SHOWN], start=1)
    )
    disabled = '' if case.exemplars else ' disabled'
    more = f'<p class="ps-note">and {len(right) - _SHOWN} more</p>' if len(right) > _SHOWN else ''
    return (
        f'<p class="ps-note" role="status">{said}</p>'
        f'<ul class="ps-chips ps-small">{people}</ul>{more}'
        '<p class="ps-marks"><label class="ps-link"><input type="file" accept=".json" '
        'aria-label="Open a case">Open a case</label>'
        f'<button type="button" class="ps-link" data-act="new"{disabled}>New case</button></p>'
    )
