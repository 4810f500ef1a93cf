"""The page: what is where, and what happens when something on it is clicked."""

import functools
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from markupsafe import escape

from mmps.retrieval import COLOURS, Where, why_nobody
from mmps.sources import format_time, parse_time
from mmps.utils.errors import UserError
from mmps.web.kept import Kept
from mmps.web.markup import parts
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
QUEUED, SESSIONS = 128, 256
"""Events that wait at most, and users whose searches are kept."""
_FORGOTTEN = (
    'The search of this address is not kept any more. Choose a person; a search that is saved as a '
    'case can always be opened again.'
)
_LONGEST = 200
"""Letters of what a browser tells and gets back."""
_IDLE_SECONDS = 4 * 3600
_HERE = Path(__file__).parent
_PARALLEL_SEARCHES = 4


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


def _time(label: str, text: str | None) -> float | None:
    try:
        return parse_time(text.strip()) if text and text.strip() else None
    except ValueError as error:
        raise ValueError(f'{label}: {error}') from error


class Handlers:
    """One method per event.

    Those for :meth:`changing` take the event, the session with the filter of the form, and the
    form; they give what the session becomes. ``uploads`` are the pictures that browsers have sent.
    """

    def __init__(self, service: SearchService, uploads: Kept[bytes]) -> None:
        self.service = service
        self._uploads = uploads
        self._searches: Kept[tuple[Session, Controls]] = Kept(SEARCHES, _SECONDS)

    def changing(self, handle: Callable[[gr.EventData, Session, Controls], Session]) -> Callable:
        """The handler of an event that changes a search, with the parts of the page as result."""

        def handler(event: gr.EventData, session: Session, *controls: Any) -> tuple:
            form = Controls(*controls)
            return self._parts(session, handle(event, form.applied_to(session), form), form)

        return handler

    def _parts(self, before: Session | None, session: Session, form: Controls) -> tuple:
        """Session, picture, exemplars, way to the hits, times of the filter, timeline, results,
        downloads and address. Pictures that stay are not sent again.
        """
        names = ('picture', 'opened', 'chosen', 'refusal', 'exemplars', 'lookalikes')
        if before and all(getattr(before, name) is getattr(session, name) for name in names):
            pictures = gr.skip(), gr.skip()
        else:
            pictures = parts.picker(session), parts.exemplars(session)
        empty, address = '', ''
        if session.exemplars:
            address = self._searches.keep((session, form))
            if not session.hits and not session.problem:
                empty = why_nobody(self.service.gallery, session.where)
        judged = self.service.judgement(session)
        results = parts.results(session, form.view == WHOLE_SCENE, empty, judged)
        drawn = self._timeline(session) if form.view == TIMELINE else ''
        rest = parts.jump(session), parts.period(session), drawn, results, '', address
        return (session, *pictures, *rest)

    def _timeline(self, session: Session) -> str:
        shown, where = self.service.overview(session), session.where
        if not shown:
            return ''
        right = self.service.right_appearances(session)
        ranks = {one.id: rank for rank, one in enumerate(session.appearances, start=1)}
        return timeline(shown, right, ranks, since=where.since, until=where.until)

    def arrive(self, request: gr.Request) -> tuple:
        """The page is loaded: what the gallery holds, the form, and the search of the address."""
        info = self.service.gallery.info()
        headline, choices = parts.headline(info), list(info.cameras)
        token = request.query_params.get('search', '')
        kept = self._searches.get(token)
        if kept is None:
            # whatever the user has done meanwhile stays
            shown = [gr.skip()] * 12
            if token:
                session = Session(refusal=_FORGOTTEN)
                shown[:2] = session, parts.picker(session)
            form = [gr.skip()] * (len(Controls._fields) - 1)
            return headline, gr.update(choices=choices), *form, *shown
        session, form = kept
        *shown, _ = self._parts(None, self.service.search(session), form)
        shown += [token, parts.case(session.case), session.case.title, session.case.notes]
        return headline, gr.update(choices=choices, value=form.cameras), *form[1:], *shown

    def picture(self, event: gr.EventData, session: Session, form: Controls) -> Session:
        """The browser has sent a picture."""
        session = session.opening(form.role[0])
        try:
            return self.service.open_picture(session, self._sent(event), _text(event, 'name'))
        except ValueError as error:
            return session.refused(_text(event, 'name'), str(error))

    def refused(self, event: gr.EventData, session: Session, form: Controls) -> Session:
        """The browser has sent what cannot be used."""
        session = session.opening(form.role[0])
        return session.refused(_text(event, 'name'), _text(event, 'reason'))

    def choose_frame(self, event: gr.EventData, session: Session, form: Controls) -> Session:
        """A scene of the gallery was clicked."""
        key = _number(event, 'frame')
        return self.service.open_frame(session.opening(form.role[0]), key)

    def person(self, event: gr.EventData, session: Session, form: Controls) -> Session:
        """A person in the picture was clicked."""
        return self.service.choose(session, _number(event, 'number'), *form.role)

    def box(self, event: gr.EventData, session: Session, form: Controls) -> Session:
        """A box was drawn around a person in the picture."""
        return self.service.choose_box(session, _edges(event), *form.role)

    def leave_out(self, event: gr.EventData, session: Session, form: Controls) -> Session:
        """A picture of the person is not to be searched for any more."""
        return self.service.search(session.without(_number(event, 'drop')))

    def act(self, event: gr.EventData, session: Session, form: Controls) -> Session:
        """A button of a hit, or a person in the scene that is shown."""
        act = _entry(event, 'act')
        if act == 'search':
            return self.service.choose_hit(session, _number(event, 'id'), *form.role)
        if act in ('right', 'wrong'):
            return session.marked(_number(event, 'id'), act)
        if act in ('clear', 'refine'):
            return self.service.search(session.unmarked() if act == 'clear' else session.refined())
        return session

    def filter(self, event: gr.EventData, session: Session, form: Controls) -> Session:
        """The filter has changed."""
        return self.service.search(session)

    def left(self, session: Session, *controls: Any) -> tuple:
        """A field of the filter was left. If it is as it was, nothing is told: the answer could
        come after that to a later event.
        """
        form = Controls(*controls)
        filtered = form.applied_to(session)
        if (filtered.where, filtered.problem) == (session.where, session.problem):
            return (gr.skip(),) * 9
        return self._parts(session, self.service.search(filtered), form)

    def show(self, session: Session, *controls: Any) -> tuple:
        """The hits are to be seen differently: no search is needed."""
        return self._parts(session, session, Controls(*controls))

    def range(self, event: gr.EventData, session: Session, *controls: Any) -> tuple:
        """A time was chosen in the timeline: it becomes the filter's."""
        since, until = (_entry(event, name, _clock) for name in ('since', 'until'))
        form = Controls(*controls)._replace(since=since, until=until)
        found = self.service.search(form.applied_to(session))
        return (*self._parts(session, found, form), since, until)

    def scene(self, event: gr.EventData, session: Session) -> str:
        """A hit is to be seen in its scene."""
        (hit,) = self.service.gallery.hits_of([_number(event, 'id')])
        similarity = next((h.similarity for h in session.hits if h.id == hit.id), None)
        return parts.scene(hit, similarity, self.service.gallery.people_in(hit.source, hit.frame))

    def frames(self, name: str, moment: str) -> tuple[int, str]:
        """Show the first of the gallery's scenes with such a name, from a time on."""
        return self._page(name, self.service.scenes.first_at(name or '', moment or ''))

    def turn(self, event: gr.EventData, start: int, name: str) -> tuple[int, str]:
        """Turn to other scenes of the gallery."""
        return self._page(name, max(0, start + FRAMES_PER_PAGE * _number(event, 'turn')))

    def _page(self, name: str, start: int) -> tuple[int, str]:
        page, total = self.service.scenes.frames(name or '', start, FRAMES_PER_PAGE)
        return start, parts.frames(page, start, total)

    def files(self, session: Session, blur_others: bool) -> str:
        """What was found is to be saved."""
        content, sheet = self.service.export(session, bool(blur_others))
        return parts.downloads({'hits.json': content, 'hits.png': sheet})

    def recurring(self, least: float) -> str:
        """Who appears often is to be shown."""
        if not self.service.recurring:
            raise ValueError('this page was not told to show who appears often')
        least = int(max(2, least))
        return parts.recurring(self.service.gallery.recurring(least), least)

    def add_to_case(
        self, session: Session, title: str | None, notes: str | None, *controls: Any
    ) -> tuple:
        """The search and its marks are to be kept in the case."""
        added = self.service.add_to_case(session, title, notes)
        return (*self._parts(session, added, Controls(*controls)), parts.case(added.case))

    def change_case(self, event: gr.EventData, session: Session) -> tuple:
        """Somebody is taken out of the case, or a new one begun."""
        if _entry(event, 'act') == 'new':
            return replace(session, case=Case()), parts.case(Case()), '', '', ''
        hit = _number(event, 'drop')
        case = replace(session.case, marks=session.case.marks.toggled(hit, 'right'))
        return replace(session, case=case), parts.case(case), gr.skip(), gr.skip(), ''

    def open_case(self, event: gr.EventData, session: Session, *controls: Any) -> tuple:
        """The browser has sent a case."""
        form = Controls(*controls)
        session = self.service.open_case(form.applied_to(session), self._sent(event))
        case = session.case
        return (*self._parts(None, session, form), parts.case(case), case.title, case.notes)

    def save_case(self, session: Session, title: str | None, notes: str | None) -> tuple:
        """The case is to be saved."""
        session = replace(session, case=session.case.written(title, notes))
        case, report = self.service.save_case(session)
        return session, parts.downloads({'case.json': case, 'report.html': report})

    def _sent(self, event: gr.EventData) -> bytes:
        content = self._uploads.take(_entry(event, 'token', str))
        if content is None:
            raise ValueError('the picture did not get through; send it again')
        return content


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
    edges = _entry(event, 'edges', lambda shares: tuple(map(float, shares)))
    fits = len(edges) == 4 and 0 <= edges[0] < edges[2] <= 1 and 0 <= edges[1] < edges[3] <= 1
    if not fits:
        raise ValueError('draw the box within the picture')
    return edges


def theme() -> gr.themes.Base:
    """Fonts of the system: nothing has to be fetched."""
    fonts = ['system-ui', '-apple-system', 'Segoe UI', 'Roboto', 'sans-serif']
    mono = ['ui-monospace', 'Menlo', 'Consolas', 'monospace']
    page = gr.themes.Default(
        primary_hue='blue', neutral_hue='slate', font=fonts, font_mono=mono, radius_size='lg'
    )
    # Gradio's are too pale for small text, by WCAG 2.2
    return page.set(
        body_text_color_subdued='*neutral_600',
        block_title_text_color='*neutral_600',
        block_label_text_color='*neutral_600',
        input_placeholder_color='*neutral_500',
        input_placeholder_color_dark='*neutral_400',
        button_primary_background_fill='*primary_600',
        button_primary_background_fill_hover='*primary_700',
    )


def head() -> str:
    """What the page needs besides its body."""
    return (
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<style>{(_HERE / "timeline.css").read_text("utf-8")}'
        f'{(_HERE / "page.css").read_text("utf-8")}</style>'
    )


def build_page(handlers: Handlers) -> gr.Blocks:
    """The page, to be mounted by :func:`mmps.web.app.build_app`."""
    with gr.Blocks(title='Find a person', analytics_enabled=False, fill_width=True) as page:
        session = gr.State(Session(), time_to_live=_IDLE_SECONDS)
        headline = _html('', elem_id='headline')
        with gr.Row(elem_id='layout'):  # page.css says what is beside what
            with gr.Column(elem_id='query'):
                picker = _html(parts.picker(Session()), 'picker.js', elem_id='picker')
                jump = _html('', elem_id='jump')
                exemplars = _html('', 'buttons.js', elem_id='exemplars')
                listing = _listing(handlers)
                often = _often(handlers) if handlers.service.recurring else None
            with gr.Column(elem_id='found'):
                drawn = _html('', 'timeline.js', elem_id='timeline')
                results = _html(parts.results(Session()), 'results.js', elem_id='results')
                with gr.Accordion('Save what was found', open=False, elem_id='save'):
                    blur = gr.Checkbox(True, label='Make everybody else unrecognisable')
                    save = gr.Button('Make the files', variant='primary', size='md')
                    files = _html('', elem_id='files')
                case = _case()
            with gr.Column(elem_id='settings'):
                controls, period = _controls()
        scene = _html('', 'scene.js', elem_id='scene')
        address = _html('', 'address.js', elem_id='address')
        form = [session, *controls]
        changed = [session, picker, exemplars, jump, period, drawn, results, files, address]
        listen = partial(_listen, inputs=form, outputs=changed)

        def change(event: Callable, handle: Callable, **options: Any) -> None:
            listen(event, handlers.changing(handle), **options)

        page.load(
            told(handlers.arrive), None, [headline, *controls, *changed, *case[:3]], **_SILENT
        )
        one_at_a_time = dict(concurrency_id='model', concurrency_limit=1)
        change(picker.picture, handlers.picture, **one_at_a_time)
        change(picker.refused, handlers.refused)
        change(picker.person, handlers.person)
        change(picker.box, handlers.box, **one_at_a_time)
        change(listing.act, handlers.choose_frame)
        change(exemplars.act, handlers.leave_out)
        for part in filter(None, (results, scene, often)):
            change(part.act, handlers.act)
        _listen_to_case(handlers, case, results.case, form, changed)
        _, since, until, *_ = controls
        *filters, view, _ = controls
        listen(drawn.range, handlers.range, outputs=[*changed, since, until])
        listen(view.input, handlers.show)
        for control in filters:  # what is half written does not count
            if isinstance(control, gr.Textbox):
                change(control.submit, handlers.filter)
                listen(control.blur, handlers.left)
            else:
                event = control.release if isinstance(control, gr.Slider) else control.input
                change(event, handlers.filter)
        for part in (results, drawn):
            _listen(part.open, handlers.scene, inputs=[session], outputs=[scene])
        _listen(save.click, handlers.files, inputs=[session, blur], outputs=[files])
    page.queue(max_size=QUEUED, default_concurrency_limit=_PARALLEL_SEARCHES)
    page.state_session_capacity = SESSIONS
    return page


_SILENT = dict(api_visibility='private', show_progress='hidden')


def told(handler: Callable) -> Callable:
    """Tell users what they can mend, in their browser."""

    @functools.wraps(handler)  # Gradio reads the annotations
    def wrapped(*arguments: Any) -> Any:
        try:
            return handler(*arguments)
        except KeyError as error:
            raise gr.Error('This is not in the gallery any more; search again.') from error
        except (ValueError, GoneError, UserError) as error:
            raise gr.Error(str(escape(error))) from error

    return wrapped


def _listen(event: Callable, handler: Callable, **options: Any) -> None:
    event(told(handler), **{'concurrency_id': 'search', **_SILENT, **options})


def _html(value: str, script: str | None = None, **options: Any) -> gr.HTML:
    return gr.HTML(
        value,
        js_on_load=script and (_HERE / script).read_text('utf-8'),
        apply_default_css=False,
        elem_classes=['ps-page'],
        **options,
    )


def _controls() -> tuple[list[gr.components.Component], gr.HTML]:
    """The form, in the order of :class:`Controls`, and how times were read."""
    with gr.Accordion('Filter', open=False):
        cameras = gr.Dropdown([], multiselect=True, label='Cameras', info='None: all of them')
        example = dict(placeholder='for example 2026-03-01 14:30', max_lines=1)
        since = gr.Textbox(label='From', elem_id='since', **example)
        until = gr.Textbox(label='Before', elem_id='until', **example)
        period = _html('', elem_id='period')
        upper, lower = (
            gr.Dropdown(
                list(COLOURS), multiselect=True, label=f'Wears {place} the waist', elem_id=name
            )
            for name, place in (('upper', 'above'), ('lower', 'below'))
        )
        top_k = gr.Slider(5, MOST_HITS, 20, step=5, label='Number of hits')
    view = gr.Radio(
        [CLOSE_UP, WHOLE_SCENE, TIMELINE], value=CLOSE_UP, label='Show hits as', elem_id='view'
    )
    click = gr.Radio(
        ['starts a new search', ADD, UNLIKE],
        value='starts a new search',
        label='A click on a person',
        info='Added pictures are averaged; people like those that must not match rank lower',
        elem_id='click',
    )
    return [cameras, since, until, upper, lower, top_k, view, click], period


def _often(handlers: Handlers) -> gr.HTML:
    """Who appears often, to search for."""
    with gr.Accordion('Or who is here often', open=False, elem_id='often'):
        least = gr.Slider(2, 20, 3, step=1, label='Appearances at least')
        show = gr.Button('Show them', size='md', elem_id='show-often')
        people = _html('', 'buttons.js', elem_id='people')
    _listen(show.click, handlers.recurring, inputs=[least], outputs=[people])
    return people


def _case() -> list[gr.components.Component]:
    """What the case holds, title and notes, buttons that add to it and save it, and files of it."""
    with gr.Accordion('Case', open=False, elem_id='case'):
        holding = _html(parts.case(Case()), 'case.js', elem_id='holding')
        title = gr.Textbox(label='Title', max_lines=1, elem_id='title')
        notes = gr.Textbox(label='Notes', lines=3, max_lines=12, elem_id='notes')
        with gr.Row():
            add = gr.Button('Add this search', size='md')
            save = gr.Button('Save the case', variant='primary', size='md')
        return [holding, title, notes, add, save, _html('', elem_id='report')]


def _listen_to_case(handlers: Handlers, case: list, added, form: list, changed: list) -> None:
    """Connect the case; ``added`` is the event by which hits are added to it."""
    holding, title, notes, add, save, files = case
    session, *controls = form
    filled = [holding, title, notes]
    _listen(holding.opened, handlers.open_case, inputs=form, outputs=[*changed, *filled])
    outputs = [session, *filled, files]
    _listen(holding.act, handlers.change_case, inputs=[session], outputs=outputs)
    texts = [session, title, notes]
    _listen(save.click, handlers.save_case, inputs=texts, outputs=[session, files])
    kept = dict(inputs=[*texts, *controls], outputs=[*changed, holding])
    for event in (add.click, added):
        _listen(event, handlers.add_to_case, **kept)


def _listing(handlers: Handlers) -> gr.HTML:
    """Scenes of the gallery, to choose a person in."""
    with gr.Accordion(
        'Or choose a scene of the gallery', open=False, elem_id='scenes'
    ) as accordion:
        with gr.Row():
            name = gr.Textbox(label='Name contains', max_lines=1, min_width=120)
            moment = gr.Textbox(
                label='From this time on',
                placeholder='0:01:30, or 2026-03-01 14:30',
                max_lines=1,
                min_width=120,
                elem_id='moment',
            )
        start = gr.State(0)
        listing = _html('', 'buttons.js', elem_id='frames')
    shown = dict(outputs=[start, listing])
    for event in (accordion.expand, name.change, moment.submit, moment.blur):
        _listen(event, handlers.frames, inputs=[name, moment], **shown)
    _listen(listing.turn, handlers.turn, inputs=[start, name], **shown)
    return listing
