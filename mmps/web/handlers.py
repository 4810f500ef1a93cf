"""What happens when something on the page is clicked: events in, changed parts of the page out."""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import gradio as gr

from mmps.retrieval import Where, why_nobody
from mmps.sources import format_time, parse_time
from mmps.utils.errors import UserError
from mmps.web import markup
from mmps.web.kept import Kept
from mmps.web.scenes import GoneError
from mmps.web.service import SearchService
from mmps.web.session import Case, Edges, Session
from mmps.web.timeline import timeline

FRAMES_PER_PAGE = 12
MOST_HITS = 100
CLOSE_UP, WHOLE_SCENE, TIMELINE = 'Close-up', 'Whole scene', 'Timeline'
ADD, UNLIKE = 'adds to the search', 'must not match'
SEARCHES, _SECONDS = 500, 4 * 3600
"""Searches whose addresses can be opened, and for how long after they were last."""
_FORGOTTEN = (
    'The search of this address is not kept any more. Choose a person; a search that is saved as a '
    'case can always be opened again.'
)
_REST = 10
"""Parts of the page behind session and picture that a search fills, with those of its case."""
_LONGEST = 200
"""Letters of what a browser tells and gets back."""


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
    upper: list[str] | None
    lower: list[str] | None
    top_k: float
    view: str
    click: str

    @property
    def role(self) -> tuple[bool, bool]:
        """Whether a picture is added to others, and whether it is of somebody else."""
        return self.click in (ADD, UNLIKE), self.click == UNLIKE

    def applied_to(self, session: Session) -> Session:
        """The session with the filter that the form shows, or with what is wrong with it."""
        session = replace(session, top_k=int(max(1, min(MOST_HITS, self.top_k))))
        try:
            where = Where(
                cameras=[str(camera) for camera in self.cameras] if self.cameras else None,
                since=_time('From', self.since),
                until=_time('Before', self.until),
                upper=self.upper or None,
                lower=self.lower or None,
            )
            if where.since is not None and where.until is not None and where.until <= where.since:
                raise ValueError('Before: this is not later than From')
        except ValueError as error:
            return replace(session, where=Where(), problem=f'{error}.')
        return replace(session, where=where, problem='')


class Handlers:
    """One method per event.

    Those of searches take the session and the :class:`Controls`, and give the session, picture,
    exemplars, way to the hits, times of the filter, timeline, results, downloads and address.
    ``uploads`` are the pictures that browsers have sent.
    """

    def __init__(self, service: SearchService, uploads: Kept[bytes]) -> None:
        self._service = service
        self._uploads = uploads
        self._searches: Kept[tuple[Session, Controls]] = Kept(SEARCHES, _SECONDS)

    @_told
    def arrive(self, request: gr.Request) -> tuple:
        """The page is loaded: what the gallery holds, the form, and the search of the address."""
        info = self._service.gallery.info()
        headline, choices = markup.headline(info), list(info.cameras)
        token = request.query_params.get('search', '')
        kept = self._searches.get(token)
        if kept is None:
            # whatever the user has done meanwhile stays
            shown = [gr.skip()] * 2
            if token:
                session = Session(refusal=_FORGOTTEN)
                shown = [session, markup.picker(session)]
            form, rest = [gr.skip()] * (len(Controls._fields) - 1), [gr.skip()] * _REST
            return headline, gr.update(choices=choices), *form, *shown, *rest
        session, form = kept
        *parts, _ = self._changed(self._service.search(session), form)
        parts += [token, markup.case(session.case), session.case.title, session.case.notes]
        return headline, gr.update(choices=choices, value=form.cameras), *form[1:], *parts

    @_told
    def picture(self, event: gr.EventData, session: Session, *controls: Any) -> tuple:
        """The browser has sent a picture."""
        form = Controls(*controls)
        session = form.applied_to(session).opening(form.role[0])
        try:
            content = self._sent(event)
            session = self._service.open_picture(session, content, _text(event, 'name'))
        except ValueError as error:
            session = session.refused(_text(event, 'name'), str(error))
        return self._changed(session, form)

    @_told
    def refused(self, event: gr.EventData, session: Session, *controls: Any) -> tuple:
        """The browser has sent what cannot be used."""
        form = Controls(*controls)
        session = form.applied_to(session).opening(form.role[0])
        session = session.refused(_text(event, 'name'), _text(event, 'reason'))
        return self._changed(session, form)

    @_told
    def choose_frame(self, event: gr.EventData, session: Session, *controls: Any) -> tuple:
        """A scene of the gallery was clicked."""
        form = Controls(*controls)
        key = _number(event, 'frame')
        session = form.applied_to(session).opening(form.role[0])
        return self._changed(self._service.open_frame(session, key), form)

    @_told
    def person(self, event: gr.EventData, session: Session, *controls: Any) -> tuple:
        """A person in the picture was clicked."""
        form = Controls(*controls)
        number, session = _number(event, 'number'), form.applied_to(session)
        return self._changed(self._service.choose(session, number, *form.role), form)

    @_told
    def box(self, event: gr.EventData, session: Session, *controls: Any) -> tuple:
        """A box was drawn around a person in the picture."""
        form = Controls(*controls)
        edges, session = _edges(event), form.applied_to(session)
        return self._changed(self._service.choose_box(session, edges, *form.role), form)

    @_told
    def leave_out(self, event: gr.EventData, session: Session, *controls: Any) -> tuple:
        """A picture of the person is not to be searched for any more."""
        form = Controls(*controls)
        session = form.applied_to(session).without(_number(event, 'drop'))
        return self._changed(self._service.search(session), form)

    @_told
    def act(self, event: gr.EventData, session: Session, *controls: Any) -> tuple:
        """A button of a hit, or a person in the scene that is shown."""
        form = Controls(*controls)
        act, session = _entry(event, 'act'), form.applied_to(session)
        if act == 'search':
            hit = _number(event, 'id')
            session = self._service.choose_hit(session, hit, *form.role)
            return self._changed(session, form)
        if act in ('right', 'wrong'):
            session = session.marked(_number(event, 'id'), act)
        elif act in ('clear', 'refine'):
            session = session.unmarked() if act == 'clear' else session.refined()
            session = self._service.search(session)
        return self._searched(session, form)

    @_told
    def show(self, session: Session, *controls: Any) -> tuple:
        """The hits are to be seen differently: no search is needed."""
        return self._searched(session, Controls(*controls))

    @_told
    def filter(self, session: Session, *controls: Any) -> tuple:
        """The filter has changed."""
        form = Controls(*controls)
        return self._searched(self._service.search(form.applied_to(session)), form)

    @_told
    def scene(self, event: gr.EventData, session: Session) -> str:
        """A hit is to be seen in its scene."""
        (hit,) = self._service.gallery.hits_of([_number(event, 'id')])
        similarity = next((h.similarity for h in session.hits if h.id == hit.id), float('nan'))
        people = self._service.gallery.people_in(hit.source, hit.frame)
        return markup.scene(hit, similarity, people)

    @_told
    def frames(self, name: str, moment: str) -> tuple[int, str]:
        """Show the first of the gallery's scenes with such a name, from a time on."""
        return self._page(name, self._service.scenes.first_at(name or '', moment or ''))

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
        content, sheet = self._service.export(session, bool(blur_others))
        return markup.downloads(hits_json=content, hits_png=sheet)

    @property
    def shows_recurring(self) -> bool:
        """Whether users may see who appears often."""
        return self._service.recurring

    @_told
    def recurring(self, least: float) -> str:
        """Who appears often is to be shown."""
        if not self._service.recurring:
            raise ValueError('this page was not told to show who appears often')
        least = int(max(2, least))
        return markup.recurring(self._service.gallery.recurring(least), least)

    @_told
    def range(self, event: gr.EventData, session: Session, *controls: Any) -> tuple:
        """A time was chosen in the timeline: it becomes the filter's."""
        form = Controls(*controls)
        since, until = (_entry(event, name, _clock) for name in ('since', 'until'))
        form = form._replace(since=since, until=until)
        session = self._service.search(form.applied_to(session))
        return (*self._searched(session, form), since, until)

    @_told
    def add_to_case(
        self, session: Session, title: str | None, notes: str | None, *controls: Any
    ) -> tuple:
        """The search and its marks are to be kept in the case."""
        session = self._service.add_to_case(session, title, notes)
        return (*self._searched(session, Controls(*controls)), markup.case(session.case))

    @_told
    def change_case(self, event: gr.EventData, session: Session) -> tuple:
        """Somebody is taken out of the case, or a new one begun."""
        if _entry(event, 'act') == 'new':
            return replace(session, case=Case()), markup.case(Case()), '', '', ''
        hit = _number(event, 'drop')
        case = replace(session.case, marks=session.case.marks.toggled(hit, 'right'))
        return replace(session, case=case), markup.case(case), gr.skip(), gr.skip(), ''

    @_told
    def open_case(self, event: gr.EventData, session: Session, *controls: Any) -> tuple:
        """The browser has sent a case."""
        form = Controls(*controls)
        session = self._service.open_case(form.applied_to(session), self._sent(event))
        case = session.case
        return (*self._changed(session, form), markup.case(case), case.title, case.notes)

    @_told
    def save_case(self, session: Session, title: str | None, notes: str | None) -> tuple:
        """The case is to be saved."""
        session = replace(session, case=session.case.written(title, notes))
        case, report = self._service.save_case(session)
        return session, markup.downloads(case_json=case, report_html=report)

    def _sent(self, event: gr.EventData) -> bytes:
        content = self._uploads.take(_entry(event, 'token', str))
        if content is None:
            raise ValueError('the picture did not get through; send it again')
        return content

    def _changed(self, session: Session, form: Controls) -> tuple:
        parts = markup.picker(session), markup.exemplars(session)
        return (session, *parts, *self._found(session, form))

    def _searched(self, session: Session, form: Controls) -> tuple:
        return (session, gr.skip(), gr.skip(), *self._found(session, form))

    def _found(self, session: Session, form: Controls) -> tuple:
        empty = ''
        if session.exemplars and not session.hits and not session.problem:
            empty = why_nobody(self._service.gallery, session.where)
        judged = self._service.judgement(session)
        results = markup.results(session, form.view == WHOLE_SCENE, empty, judged)
        address = self._searches.keep((session, form)) if session.exemplars else ''
        drawn = self._timeline(session) if form.view == TIMELINE else ''
        return markup.jump(session), markup.period(session), drawn, results, '', address

    def _timeline(self, session: Session) -> str:
        shown, where = self._service.overview(session), session.where
        if not shown:
            return ''
        right = self._service.right_appearances(session)
        ranks = {one.id: rank for rank, one in enumerate(session.appearances, start=1)}
        return timeline(shown, right, ranks, since=where.since, until=where.until)


def _time(label: str, text: str | None) -> float | None:
    try:
        return parse_time(text.strip()) if text and text.strip() else None
    except ValueError as error:
        raise ValueError(f'{label}: {error}') from error


def _clock(value: Any) -> str:
    """A time that the timeline tells, as it is written in the form."""
    return '' if value is None else format_time(float(value), offset=False)


def _entry(event: gr.EventData, key: str, read: Callable[[Any], Any] = lambda value: value) -> Any:
    """What the page tells of an event, read in some way."""
    try:
        return read(event._data[key])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError('the page and the server do not fit; load the page again') from error


def _text(event: gr.EventData, key: str) -> str:
    return _entry(event, key, str)[:_LONGEST]


def _number(event: gr.EventData, key: str) -> int:
    return _entry(event, key, int)  # ids come as text: they have more digits than JavaScript


def _edges(event: gr.EventData) -> Edges:
    left, top, right, bottom = _entry(event, 'edges', _four)
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise ValueError('draw the box within the picture')
    return left, top, right, bottom


def _four(shares: Any) -> Edges:
    left, top, right, bottom = map(float, shares)
    return left, top, right, bottom
