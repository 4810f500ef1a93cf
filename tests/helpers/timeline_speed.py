"""How long a timeline of 10,000 appearances takes, from the click to the screen.

``PYTHONPATH=tests python -m helpers.timeline_speed`` needs Chromium and its driver.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from helpers.browser import Browser, chromium
from helpers.coloured_people import ColourNetwork, coloured_scene
from helpers.page_server import running
from selenium.webdriver.support.ui import WebDriverWait

from mmps.apis import PersonSearcher
from mmps.retrieval import Gallery, IndexedFrame
from mmps.visualization import write_image
from mmps.web import SearchService
from mmps.web.app import build_app
from mmps.web.session import Session
from mmps.web.timeline import timeline

FRAMES, CAMERAS, APART = 4, 12, 30.0
_CLOCK = """
const done = arguments[arguments.length - 1], timeline = document.querySelector('#timeline');
const start = performance.now();
const seen = new MutationObserver(() => {
  if (!timeline.querySelector('.ps-plot')) return;
  seen.disconnect();
  const there = performance.now();  // twice: the first is before the next frame is drawn
  const drawn = () => done([there - start, performance.now() - start]);
  requestAnimationFrame(() => requestAnimationFrame(drawn));
});
seen.observe(timeline, {childList: true, subtree: true});
const views = [...document.querySelectorAll('#view label')];
views.find((one) => one.textContent.includes('Timeline')).click();
"""


def fill(folder: Path, tag, appearances: int) -> Gallery:
    """Appearances of :data:`FRAMES` frames each, two at a time, past several cameras."""
    gallery, rng = Gallery.open(str(folder / 'people.lance'), tag), np.random.default_rng(0)
    for camera in range(CAMERAS):
        frames, alone = [], appearances // CAMERAS // 2
        for visit in range(alone):
            looks = rng.random((2, 3), np.float32) + 0.05
            looks /= np.linalg.norm(looks, axis=1, keepdims=True)
            number = 2 * (camera * alone + visit) + 1
            for step in range(FRAMES):
                offset = APART * visit + step / 2
                frames.append(
                    IndexedFrame(
                        f'/videos/camera{camera}.mp4', (1920, 1080),
                        np.float32([[100, 200, 180, 420], [900, 220, 980, 440]]),
                        np.float32([0.9, 0.8]), looks, round(2 * offset), offset,
                        1.77e9 + offset, str(camera), tracklets=np.array([number, number + 1]),
                    )
                )  # fmt: skip
        gallery.append(frames)
    return gallery


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--appearances', type=int, default=10_000)
    parser.add_argument('--turns', type=int, default=5)
    parser.add_argument('--screenshot', help='file for a picture of the page')
    arguments = parser.parse_args()
    searcher = PersonSearcher.of_network(ColourNetwork())
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        gallery = fill(folder, searcher.tag, arguments.appearances)
        picture = folder / 'me.png'
        write_image(picture, coloured_scene([((20, 20, 220), (10, 20, 34, 80))]))
        service = SearchService(searcher, gallery)
        session = service.open_picture(Session(), picture.read_bytes(), 'me')
        found = service.overview(session)
        for name, work in (
            ('overview', lambda: service.overview(session)),
            ('drawn', lambda: timeline(found)),
        ):
            seconds = []
            for _ in range(arguments.turns):
                start = time.perf_counter()
                result = work()
                seconds.append(time.perf_counter() - start)
            print(f'server, {name}: {statistics.median(seconds):.3f} s, {len(result):,}')
        with running(build_app(service, hosts=['127.0.0.1'])) as address:
            measure(address, folder, picture, arguments)


def measure(address: str, folder: Path, picture: Path, arguments: argparse.Namespace) -> None:
    with chromium(folder / 'chromium') as driver:
        browser = Browser(driver, address)
        browser.open()
        browser.all('#picker input[type=file]')[0].send_keys(str(picture))
        browser.wait('.ps-hit')
        times = []
        for _ in range(arguments.turns):
            times.append(driver.execute_async_script(_CLOCK))
            driver.save_screenshot(arguments.screenshot) if arguments.screenshot else None
            browser.labelled('Close-up')
            WebDriverWait(driver, 60, 0.05).until(lambda _: not browser.all('.ps-plot'))
        for name, each in zip(('in the page', 'on the screen'), np.array(times).T, strict=True):
            shown = ' '.join(f'{value / 1000:.2f}' for value in each)
            print(f'click to {name}: median {np.median(each) / 1000:.2f} s ({shown})')


if __name__ == '__main__':
    main()
