"""The pictures of the page in docs/images: rendered people walk past four cameras, one is found.

``PYTHONPATH=tests python -m helpers.page_pictures`` needs Chromium, its driver and five minutes.
"""

from __future__ import annotations

import argparse
import base64
import io
import tempfile
from pathlib import Path

from helpers.browser import Browser, chromium
from helpers.page_server import running
from helpers.walks import render
from PIL import Image
from selenium.webdriver.support.ui import WebDriverWait

from mmps.apis import PersonSearcher
from mmps.retrieval import Gallery
from mmps.sources import read_frame
from mmps.visualization import write_image, write_video
from mmps.web import SearchService
from mmps.web.app import build_app

CAMERAS, SIZE = ('street', 'square', 'park', 'station'), (480, 270)
SECONDS, PEOPLE, RATE = 40, 14, 2
NOON = 1772366400.0
"""2026-03-01, 12:00 UTC: the first video begins, each other one at the end of the one before."""
FRAME, PERSON = 28, 1
"""Of the first video: the picture in which somebody is chosen, and who."""


def make_gallery(folder: Path, searcher: PersonSearcher) -> Gallery:
    """Videos in a folder, unless they are there, and the gallery of them."""
    gallery = Gallery.open(folder / 'people.lance', searcher.tag)
    for number, camera in enumerate(CAMERAS):
        video = folder / f'{camera}.mp4'
        if not video.exists():
            frames = render(7, number, SECONDS, PEOPLE, RATE, SIZE)
            write_video(video, (image for image, *_ in frames), RATE)
        begin = NOON + SECONDS * number
        searcher.index(video, gallery, fps=RATE, camera=camera, start_time=begin, progress=False)
    return gallery


def keep(picture: Image.Image, path: Path, width: int) -> None:
    """Write a picture, small: with 256 colours."""
    height = round(picture.height * width / picture.width)
    picture = picture.convert('RGB').resize((width, height), Image.Resampling.LANCZOS)
    picture.quantize(256, kmeans=1).save(path, optimize=True)
    print(f'{path}: {path.stat().st_size / 1000:.0f} kB')


def seen(browser: Browser) -> Image.Image:
    return Image.open(io.BytesIO(browser.driver.get_screenshot_as_png()))


def photograph(browser: Browser, picture: Path, folder: Path, images: Path) -> None:
    """The page with its timeline, and the report."""
    browser.open((1240, 800))
    browser.all('#picker input[type=file]')[0].send_keys(str(picture))
    browser.wait(f'[data-person="{PERSON}"]').click()
    browser.wait('.ps-hit')
    browser.labelled('Timeline')
    browser.wait('.ps-plot [data-id]')
    for right in range(1, 5):
        browser.wait(f'[data-rank="{right}"] [data-act=right]').click()
        browser.wait(f'[data-rank="{right}"][data-mark=right]')
    loaded = "return [...document.images].every(i => i.complete || i.loading === 'lazy')"
    WebDriverWait(browser.driver, 30).until(lambda _: browser.run(loaded))
    browser.run('document.activeElement.blur(); scrollTo(0, 0)')
    keep(seen(browser), images / 'web_page.png', 1240)
    browser.wait('.ps-marks [data-act=case]').click()
    browser.labelled('Case')
    browser.wait('#holding [role=status]', '4 right')
    browser.wait('#title input, #title textarea').send_keys('Blue stripes, black trousers')
    browser.labelled('Save the case')
    link = browser.wait('#report .ps-file', 'report.html').get_attribute('href')
    report = folder / 'report.html'
    report.write_bytes(base64.b64decode(link.partition(',')[2]))
    browser.resize((820, 900))
    browser.driver.get(report.as_uri())
    keep(seen(browser), images / 'report.png', 820)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--work-dir', help='folder in which videos and gallery stay')
    parser.add_argument('--images', type=Path, default=Path('docs/images'))
    arguments = parser.parse_args()
    searcher = PersonSearcher('quick-start')
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(arguments.work_dir or temporary)
        gallery = make_gallery(folder, searcher)
        frame = read_frame(str(folder / f'{CAMERAS[0]}.mp4'), FRAME, FRAME / RATE)
        picture = folder / 'frame.png'
        write_image(picture, frame)
        query = searcher.query(frame, searcher.detect(frame).bboxes[PERSON])
        sheet = searcher.search(query, top_k=8, gallery=gallery).plot(blur_others=True)
        keep(sheet, arguments.images / 'found.png', 1000)
        app = build_app(SearchService(searcher, gallery), hosts=['127.0.0.1'])
        with running(app) as address, chromium(Path(temporary, 'chromium')) as driver:
            photograph(Browser(driver, address), picture, folder, arguments.images)


if __name__ == '__main__':
    main()
