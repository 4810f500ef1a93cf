"""Time many users of a running web page at once."""

from __future__ import annotations

import argparse
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mmps.utils.benchmark.measurement import Measurement
from mmps.utils.cli import UserError

_STEPS = ('page', 'picture to people', 'click to hits', 'pictures of the hits')
_TIMEOUT = 600


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the subcommand."""
    parser.add_argument('address', help='of the page, e.g. http://127.0.0.1:7860')
    parser.add_argument('images', nargs='+', metavar='IMAGE', help='users send these in turn')
    parser.add_argument('--clients', type=int, default=50, help='users at once (default: 50)')


def run(arguments: argparse.Namespace) -> list[Measurement]:
    """Let every user send a picture, choose the first person, and load what was found."""
    import httpx

    pictures = [Path(image).read_bytes() for image in arguments.images]

    def use(number: int) -> list[float]:
        return _use(arguments.address, pictures[number % len(pictures)])

    start = time.perf_counter()
    try:
        with ThreadPoolExecutor(arguments.clients) as users:
            seconds = np.array(list(users.map(use, range(arguments.clients))))
    except (httpx.HTTPError, RuntimeError) as error:
        raise UserError(f'{arguments.address}: {type(error).__name__}: {error}') from error
    total = time.perf_counter() - start
    measured = [Measurement(f'{arguments.clients} users, everything', total, 's')]
    for column, step in zip(seconds.T, _STEPS, strict=True):
        if np.isfinite(column).any():
            measured.append(Measurement('median', float(np.nanmedian(column)), 's', step))
            measured.append(Measurement('slowest', float(np.nanmax(column)), 's', step))
    return measured


def _use(address: str, picture: bytes) -> list[float]:
    """Seconds of each step; NaN for those after a picture in which nobody was found."""
    import httpx

    from mmps.testing.page_client import PageClient

    times = [time.perf_counter()]
    with httpx.Client(base_url=address, trust_env=False, timeout=_TIMEOUT) as http:
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
    seconds = np.full(len(_STEPS), np.nan)
    seconds[: len(times) - 1] = np.diff(times)
    return seconds.tolist()
