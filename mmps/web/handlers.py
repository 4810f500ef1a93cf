"""What happens when something on the page is clicked: events in, changed parts of the page out."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import gradio as gr

from mmps.retrieval import Where
from mmps.sources import parse_time
from mmps.utils.cli import UserError
from mmps.web import markup
from mmps.web.scenes import GoneError
from mmps.web.service import SearchService
from mmps.web.session import Session
from mmps.web.uploads import Uploads

FRAMES_PER_PAGE = 12
MOST_HITS = 100
WHOLE_SCENE = 'Whole scene'
ADD = 'adds to the search'


def _told(handler: Callable) -> Callable:
    """Tell users what they can mend, in their browser."""

    @functools.wraps(handler)
    def wrapped(*arguments):
        try:
            return handler(*arguments)
        except KeyError as error:
            raise gr.Error('This is not in the gallery any more; search again.') from error
        except (ValueError, GoneError, UserError) as error:
            raise gr.Error(markup.escape(error)) from error

    return wrapped


class Controls(NamedTuple):
    """Values of the page's form, in the order in which events hand them over."""

    cameras: list[str] | None
    since: str | None
    until: str | None
    top_k: float
    view: str
    click: str

    def applied_to(self, session: Session) -> Session:
        """The session with the filter that the form shows.

        Raises:
            ValueError: A time cannot be read.
        """
        where = Where(
            cameras=[str(camera) for camera in self.cameras] if self.cameras else None,
            since=_time(self.since),
            until=_time(self.until),
        )
        return replace(session, where=where, top_k=int(max(1, min(MOST_HITS, self.top_k))))


class Handlers:
    """One method per event.

    Those of searches take the session and the :class:`Controls`, and give the session, picture,
    exemplars, results and downloads.

    Args:
        service: Does the work.
        uploads: Where the pictures are that browsers have sent.
    """

    def __init__(self, service: SearchService, uploads: Uploads) -> None:
        self._service = service
        self._uploads = uploads

    def headline(self) -> tuple[str, dict]:
        """What the gallery holds now, and the choices of the filter."""
        info = self._service.gallery.info()
        return markup.headline(info), gr.update(choices=list(info.cameras))

    @_told
    def picture(self, event: gr.EventData, session: Session, *controls: Any) -> tuple:
        """The browser has sent a picture."""
        form = Controls(*controls)
        content = self._uploads.take(_entry(event, 'token'))
        name = str(_entry(event, 'name'))[:200]
        session = self._service.open_picture(form.applied_to(session), content, name)
        return _changed(session, form)

    @_told
    def choose_frame(self, event: gr.EventData, session: Session, *controls: Any) -> tuple:
        """A scene of the gallery was clicked."""
        form = Controls(*controls)
        key = _number(event, 'frame')
        return _changed(self._service.open_frame(form.applied_to(session), key), form)

    @_told
    def person(self, event: gr.EventData, session: Session, *controls: Any) -> tuple:
        """A person in the picture was clicked."""
        form = Controls(*controls)
        number, session = _number(event, 'number'), form.applied_to(session)
        return _changed(self._service.choose(session, number, form.click == ADD), form)

    @_told
    def leave_out(self, event: gr.EventData, session: Session, *controls: Any) -> tuple:
        """A picture of the person is not to be searched for any more."""
        form = Controls(*controls)
        session = form.applied_to(session).without(_number(event, 'drop'))
        return _changed(self._service.search(session), form)

    @_told
    def act(self, event: gr.EventData, session: Session, *controls: Any) -> tuple:
        """A button of a hit, or a person in the scene that is shown."""
        form = Controls(*controls)
        act, session = _entry(event, 'act'), form.applied_to(session)
        if act == 'search':
            hit = _number(event, 'id')
            session = self._service.choose_hit(session, hit, form.click == ADD)
            return _changed(session, form)
        if act in ('right', 'wrong'):
            session = session.marked(_number(event, 'id'), act)
        elif act in ('clear', 'refine'):
            kept = replace(session, right=(), wrong=()) if act == 'clear' else session
            session = self._service.search(kept)
        return _searched(session, form)

    @_told
    def filter(self, session: Session, *controls: Any) -> tuple:
        """The form has changed."""
        form = Controls(*controls)
        return _searched(self._service.search(form.applied_to(session)), form)

    @_told
    def scene(self, event: gr.EventData, session: Session) -> str:
        """A hit is to be seen in its scene."""
        (hit,) = self._service.gallery.hits_of([_number(event, 'id')])
        similarity = next((h.similarity for h in session.hits if h.id == hit.id), float('nan'))
        people = self._service.gallery.people_in(hit.source, hit.frame)
        return markup.scene(hit, similarity, people)

    @_told
    def frames(self, name: str) -> tuple[int, str]:
        """Show the first of the gallery's scenes with such a name."""
        return self._page(name, 0)

    @_told
    def turn(self, event: gr.EventData, start: int, name: str) -> tuple[int, str]:
        """Turn to other scenes of the gallery."""
        return self._page(name, start + FRAMES_PER_PAGE * _number(event, 'turn'))

    def _page(self, name: str, start: int) -> tuple[int, str]:
        start = max(0, start)
        page, total = self._service.scenes.frames(name or '', start, FRAMES_PER_PAGE)
        return start, markup.frames(page, start, total)

    @_told
    def files(self, session: Session, blur_others: bool) -> str:
        """What was found is to be saved."""
        return markup.downloads(*self._service.export(session, bool(blur_others)))


def _changed(session: Session, form: Controls) -> tuple:
    parts = markup.picker(session), markup.exemplars(session)
    return (session, *parts, markup.results(session, form.view == WHOLE_SCENE), '')


def _searched(session: Session, form: Controls) -> tuple:
    results = markup.results(session, form.view == WHOLE_SCENE)
    return session, gr.skip(), gr.skip(), results, ''


def _time(text: str | None) -> float | None:
    return parse_time(text.strip()) if text and text.strip() else None


def _entry(event: gr.EventData, key: str) -> Any:
    if not isinstance(event._data, dict) or key not in event._data:
        raise ValueError('the page and the server do not fit; load the page again')
    return event._data[key]


def _number(event: gr.EventData, key: str) -> int:
    try:
        return int(_entry(event, key))  # ids come as text: they have more digits than JavaScript
    except (TypeError, ValueError) as error:
        raise ValueError('the page and the server do not fit; load the page again') from error
