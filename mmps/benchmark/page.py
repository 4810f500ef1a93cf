"""Time many users of a running web page at once."""

from __future__ import annotations

import argparse
import json
import re
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from mmps.benchmark.measurement import Measurement
from mmps.utils.errors import UserError

if TYPE_CHECKING:
    import httpx

_STEPS = ('page', 'picture to people', 'click to hits', 'pictures of the hits')
TIMEOUT = 120
"""Seconds for an answer of the page."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('address', help='of the page, e.g. http://127.0.0.1:7860')
    parser.add_argument('images', nargs='+', metavar='IMAGE', help='users send these in turn')
    parser.add_argument('--clients', type=int, default=50, help='users at once (default: 50)')


def run(arguments: argparse.Namespace) -> list[Measurement]:
    """Each user sends a picture, chooses the first person, and loads what was found."""
    import httpx

    pictures = [Path(image).read_bytes() for image in arguments.images]

    def use(number: int) -> list[float]:
        return _use(arguments.address, pictures[number % len(pictures)])

    start = time.perf_counter()
    try:
        with ThreadPoolExecutor(arguments.clients) as users:
            seconds = list(users.map(use, range(arguments.clients)))
    except (httpx.HTTPError, RuntimeError) as error:
        raise UserError(f'{arguments.address}: {type(error).__name__}: {error}') from error
    total = time.perf_counter() - start
    measured = [Measurement(f'{arguments.clients} users, everything', total, 's')]
    for place, step in enumerate(_STEPS):
        if taken := [user[place] for user in seconds if len(user) > place]:
            measured.append(Measurement('median', median(taken), 's', step))
            measured.append(Measurement('slowest', max(taken), 's', step))
    return measured


def _use(address: str, picture: bytes) -> list[float]:
    """Seconds of each step; none of those after a picture in which nobody was found."""
    import httpx

    times = [time.perf_counter()]
    with httpx.Client(base_url=address, trust_env=False, timeout=5 * TIMEOUT) as http:
        user = PageClient(http)
        times.append(time.perf_counter())
        token = user.send_picture(picture).raise_for_status().text
        people = user.fire('picker', 'picture', dict(token=token, name='picture'))['picker']
        times.append(time.perf_counter())
        if 'data-person="0"' in people:
            hits = user.fire('picker', 'person', dict(number=0))['results']
            times.append(time.perf_counter())
            for crop in re.findall(r'src="(hit/\d+/crop.jpg)"', hits):
                http.get(f'/{crop}').raise_for_status()
            times.append(time.perf_counter())
    return [end - start for start, end in pairwise(times)]


class PageClient:
    """One user of the page, which is the base address of ``http``."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http
        self.session = uuid.uuid4().hex
        config = http.get('/config').raise_for_status().json()
        ids = {part['id']: part for part in config['components']}
        self._events = {
            (ids[target]['props'].get('elem_id'), event): (number, dependency)
            for number, dependency in enumerate(config['dependencies'])
            for target, event in dependency['targets']
            if target in ids
        }
        self._values = {part['id']: part['props'].get('value') for part in config['components']}
        self.names = {part['props'].get('elem_id'): part['id'] for part in config['components']}

    def send_picture(self, content: bytes) -> httpx.Response:
        """Send the bytes of an image file; the text of the answer is the token."""
        return self.http.post('/picture', content=content, timeout=TIMEOUT)

    def enter(self, part: str, value: Any) -> None:
        """Put a value into a part of the form; nothing happens yet."""
        self._values[self.names[part]] = value

    def fire(self, part: str, event: str, data: dict[str, Any] | None = None) -> dict[str, Any]:
        """Let something happen to a part of the page, as a click of the user does.

        Parts are named by their ``elem_id``; returns new values of those that have changed.

        Raises:
            RuntimeError: The server refused; the message is what the user would read.
        """
        number, dependency = self._events[part, event]
        request = dict(
            data=[self._values.get(each) for each in dependency['inputs']],
            event_data=data or {},
            fn_index=number,
            session_hash=self.session,
            trigger_id=self.names[part],
        )
        answer = self.http.post('/gradio_api/queue/join', json=request, timeout=TIMEOUT)
        if answer.status_code != 200:
            raise RuntimeError(answer.text)
        output = self._result(answer.json()['event_id'])
        changed = {}
        for each, value in zip(dependency['outputs'], output, strict=True):
            if not (isinstance(value, dict) and value.get('__type__') == 'update'):
                self._values[each] = value
                changed[each] = value
        names = {place: name for name, place in self.names.items()}
        return {names[each]: value for each, value in changed.items() if names.get(each)}

    def _result(self, event: str) -> list[Any]:
        parameters = dict(session_hash=self.session)
        with self.http.stream(
            'GET', '/gradio_api/queue/data', params=parameters, timeout=TIMEOUT
        ) as stream:
            for line in stream.iter_lines():
                message = json.loads(line.removeprefix('data:')) if line else {}
                if message.get('msg') == 'process_completed' and message['event_id'] == event:
                    if not message['success']:
                        raise RuntimeError(message['output'].get('error'))
                    return message['output']['data']
        raise RuntimeError('the server closed the stream')
