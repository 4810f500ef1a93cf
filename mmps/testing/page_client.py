"""A client of the web page that sends what a browser would, without one."""

from __future__ import annotations

import json
import uuid
from typing import Any

import httpx

TIMEOUT = 120


class PageClient:
    """One user of the page.

    Args:
        http: Client of the server; its base address is the page.
    """

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

        Args:
            part: The part's ``elem_id``.
            event: Name of the event.
            data: What comes with it.

        Returns:
            New values of the parts that have changed, by ``elem_id``.

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
