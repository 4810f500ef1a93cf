"""HTML of where a picture is given and a person in it is chosen, and of who is searched for."""

from __future__ import annotations

import numpy as np

from mmps.visualization.draw import CELL_HEIGHT, CELL_WIDTH, crop_in_context, place_labels

from .markup import area, box_style, count, data_address, escape, truth
from .pictures import to_jpeg
from .session import Exemplar, Picture, Session

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
        '<label class="ps-link"><input type="file" accept="image/*" '
        'aria-label="Another picture">Another picture</label></figcaption></figure>'
    )


def _note(people: int, chosen: int | None) -> str:
    if people == 0:
        return 'Nobody was found in it. Try another picture.'
    if people == 1:
        return 'One person was found' + ('. Click to search.' if chosen is None else '.')
    if chosen is None:
        return f'{people} people were found. Choose one.'
    return f'Person {chosen + 1} of {people} is chosen.'


def _boxes(picture: Picture, chosen: int | None) -> str:
    people = picture.people
    scale = _NARROWEST / picture.size[0]
    sizes = [
        (_NUMBER_PADDING + _NUMBER_DIGIT * len(str(number)), _NUMBER_HEIGHT)
        for number in range(1, len(people) + 1)
    ]
    labels = place_labels(people.bboxes * scale, sizes, (_NARROWEST, picture.size[1] * scale))
    # of overlapping people the smaller ones can be clicked, too
    heights = np.argsort(np.argsort([-area(bbox) for bbox in people.bboxes], kind='stable'))
    return ''.join(
        f'<button type="button" class="ps-box" data-person="{number}" '
        f'aria-pressed="{truth(chosen == number)}" '
        f'style="{box_style(bbox, picture.size)};z-index:{height}" '
        f'aria-label="Person {number + 1}, {score:.0%} certain">'
        f'<span class="ps-{label.place}">{number + 1}</span></button>'
        for number, (bbox, score, label, height) in enumerate(
            zip(people.bboxes, people.scores, labels, heights, strict=True)
        )
    )


def jump(session: Session) -> str:
    """The way to the hits, where they are below everything else."""
    if not session.exemplars:
        return ''
    return f'<a href="#results">{count(len(session.hits), "hit", "hits")} &darr;</a>'


def exemplars(session: Session) -> str:
    """Who is searched for."""
    if not session.exemplars:
        return ''
    chips = ''.join(_chip(number, exemplar) for number, exemplar in enumerate(session.exemplars))
    pictures = len(session.exemplars)
    title = 'Searching for' if pictures == 1 else f'Searching for the mean of {pictures} pictures'
    return f'<h2>{title}</h2><ul class="ps-chips">{chips}</ul>'


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
