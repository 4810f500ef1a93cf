"""How long a timeline of 10,000 appearances takes, from the click to the screen.

``PYTHONPATH=tests python -m helpers.timeline_speed`` needs Chromium and its driver.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from helpers.coloured_people import ColourNetwork, coloured_scene
from helpers.page_server import running
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from mmps.apis import PersonSearcher
from mmps.retrieval import Gallery, IndexedFrame
from mmps.visualization import write_image
from mmps.web import SearchService
from mmps.web.app import build_app
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
        session = service.open_picture(service_session(), picture.read_bytes(), 'me')
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
            measure(address, picture, arguments)


def service_session():
    from mmps.web.session import Session

    return Session()


def measure(address: str, picture: Path, arguments: argparse.Namespace) -> None:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which('chromium')
    for each in ('--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'):
        options.add_argument(each)
    service = webdriver.ChromeService(shutil.which('chromedriver'))
    with webdriver.Chrome(options=options, service=service) as driver:
        driver.set_window_size(1400, 1000)
        driver.get(address)
        wait = WebDriverWait(driver, 60, 0.05)
        wait.until(lambda d: d.find_elements(By.CSS_SELECTOR, '#picker input'))[0].send_keys(
            str(picture)
        )
        wait.until(lambda d: d.find_elements(By.CSS_SELECTOR, '.ps-hit'))
        times = []
        for _ in range(arguments.turns):
            times.append(driver.execute_async_script(_CLOCK))
            driver.save_screenshot(arguments.screenshot) if arguments.screenshot else None
            driver.execute_script(
                "[...document.querySelectorAll('#view label')].find((l) => l.textContent.includes("
                "'Close-up')).click()"
            )
            wait.until(lambda d: not d.find_elements(By.CSS_SELECTOR, '.ps-plot'))
        for name, each in zip(('in the page', 'on the screen'), np.array(times).T, strict=True):
            shown = ' '.join(f'{value / 1000:.2f}' for value in each)
            print(f'click to {name}: median {np.median(each) / 1000:.2f} s ({shown})')


if __name__ == '__main__':
    main()
