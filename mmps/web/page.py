"""The page: what is where, and which event goes to which handler."""

from functools import partial
from pathlib import Path

import gradio as gr

from mmps.retrieval import COLOURS
from mmps.web import markup
from mmps.web.handlers import (
    ADD,
    CLOSE_UP,
    MOST_HITS,
    TIMELINE,
    UNLIKE,
    WHOLE_SCENE,
    Handlers,
)
from mmps.web.session import Case, Session

QUEUED, SESSIONS = 128, 256
"""Events that wait at most, and users whose searches are kept."""

_IDLE_SECONDS = 4 * 3600
_HERE = Path(__file__).parent
_SEARCHES = 4


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
                picker = _html(markup.picker(Session()), 'picker.js', elem_id='picker')
                jump = _html('', elem_id='jump')
                exemplars = _html('', 'buttons.js', elem_id='exemplars')
                listing = _listing(handlers)
                often = _often(handlers) if handlers.shows_recurring else None
            with gr.Column(elem_id='found'):
                timeline = _html('', 'timeline.js', elem_id='timeline')
                results = _html(markup.results(Session(), False), 'results.js', elem_id='results')
                with gr.Accordion('Save what was found', open=False, elem_id='save'):
                    blur = gr.Checkbox(True, label='Make everybody else unrecognisable')
                    save = gr.Button('Make the files', variant='primary', size='md')
                    files = _html('', elem_id='files')
                case = _case()
            with gr.Column(elem_id='settings'):
                controls, period = _controls()
        scene = _html('', 'scene.js', elem_id='scene')
        address = _html('', 'address.js', elem_id='address')
        changed = [session, picker, exemplars, jump, period, timeline, results, files, address]
        listen = partial(_listen, inputs=[session, *controls], outputs=changed)
        page.load(handlers.arrive, None, [headline, *controls, *changed, *case[:3]], **_SILENT)
        listen(picker.picture, handlers.picture, concurrency_id='model', concurrency_limit=1)
        listen(picker.refused, handlers.refused)
        listen(picker.person, handlers.person)
        listen(picker.box, handlers.box, concurrency_id='model', concurrency_limit=1)
        listen(listing.act, handlers.choose_frame)
        listen(exemplars.act, handlers.leave_out)
        for part in filter(None, (results, scene, often)):
            listen(part.act, handlers.act)
        _listen_to_case(handlers, case, results.case, [session, *controls], changed)
        *filters, view, _ = controls
        _, since, until, *_ = controls
        listen(timeline.range, handlers.range, outputs=[*changed, since, until])
        listen(view.input, handlers.show)
        for control in filters:
            for event in _changes(control):
                listen(event, handlers.filter)
        for part in (results, timeline):
            _listen(part.open, handlers.scene, inputs=[session], outputs=[scene])
        _listen(save.click, handlers.files, inputs=[session, blur], outputs=[files])
    page.queue(max_size=QUEUED, default_concurrency_limit=_SEARCHES)
    page.state_session_capacity = SESSIONS
    return page


_SILENT = dict(api_visibility='private', show_progress='hidden')


def _listen(event, handler, **options) -> None:
    event(handler, **{'concurrency_id': 'search', **_SILENT, **options})


def _html(value: str, script: str | None = None, **options) -> gr.HTML:
    return gr.HTML(
        value,
        js_on_load=script and (_HERE / script).read_text('utf-8'),
        apply_default_css=False,
        elem_classes=['ps-page'],
        **options,
    )


def _changes(control: gr.components.Component) -> list:
    """Events after which the value of a control counts: what is half written does not."""
    if isinstance(control, gr.Textbox):
        return [control.submit, control.blur]
    return [control.release if isinstance(control, gr.Slider) else control.input]


def _controls() -> tuple[list[gr.components.Component], gr.HTML]:
    """The form, in the order of :class:`~mmps.web.handlers.Controls`, and how times were read."""
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
        holding = _html(markup.case(Case()), 'case.js', elem_id='holding')
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
        listing = _html('', 'frames.js', elem_id='frames')
    shown = dict(outputs=[start, listing])
    for event in (accordion.expand, name.change, moment.submit, moment.blur):
        _listen(event, handlers.frames, inputs=[name, moment], **shown)
    _listen(listing.turn, handlers.turn, inputs=[start, name], **shown)
    return listing
