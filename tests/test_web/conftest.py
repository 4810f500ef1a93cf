from types import SimpleNamespace

import cv2
import httpx
import pytest
from helpers.browser import chromium
from helpers.coloured_people import ColourNetwork, coloured_scene
from helpers.page_server import running

from mmps.apis import PersonSearcher
from mmps.retrieval import Gallery
from mmps.visualization import write_image, write_video
from mmps.web import SearchService
from mmps.web.app import build_app

RED, DARK_RED, GREEN, BLUE = (20, 20, 220), (40, 10, 160), (30, 200, 40), (210, 40, 20)
LEFT, MIDDLE, RIGHT = (10, 20, 34, 80), (60, 24, 84, 84), (120, 30, 140, 86)
MAX_BYTES = 100_000


def make_sources(folder):
    """Three scenes, and a video of 2 s whose second half shows somebody blue."""
    write_image(folder / 'cam1_a.png', coloured_scene([(RED, LEFT), (GREEN, RIGHT)]))
    write_image(folder / 'cam2_b.png', coloured_scene([(DARK_RED, MIDDLE)]))
    write_image(folder / 'cam2_c.png', coloured_scene([(GREEN, LEFT), (BLUE, MIDDLE)]))
    halves = [coloured_scene([]), coloured_scene([(BLUE, MIDDLE)])]
    write_video(folder / 'door.mp4', [halves[number >= 10] for number in range(20)], 10)
    return folder


def make_gallery(sources, searcher):
    """What the sources show: images by camera, the video from 5000 s after the epoch on."""
    gallery = Gallery.open('memory:', searcher.tag)
    pattern = r'cam(?P<camera>\d)_'
    searcher.index(sorted(sources.glob('*.png')), gallery, name_pattern=pattern, progress=False)
    searcher.index(
        sources / 'door.mp4', gallery, fps=2, camera='door', start_time=5000.0, progress=False
    )
    return gallery


def make_picture():
    """Bytes of a PNG file with somebody red and somebody blue."""
    scene = coloured_scene([(RED, LEFT), (BLUE, RIGHT)])
    return cv2.imencode('.png', scene)[1].tobytes()


@pytest.fixture
def sources(tmp_path):
    return make_sources(tmp_path / 'scenes')


@pytest.fixture
def searcher():
    return PersonSearcher.of_network(ColourNetwork())


@pytest.fixture
def gallery(sources, searcher):
    return make_gallery(sources, searcher)


@pytest.fixture
def service(searcher, gallery):
    return SearchService(searcher, gallery, max_pixels=1_000_000)


@pytest.fixture
def picture():
    return make_picture()


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    """A server of the page on this machine: its address, gallery, folder and a client."""
    folder = tmp_path_factory.mktemp('site')
    searcher = PersonSearcher.of_network(ColourNetwork())
    gallery = make_gallery(make_sources(folder / 'scenes'), searcher)
    service = SearchService(searcher, gallery, max_pixels=1_000_000)
    app = build_app(service, max_bytes=MAX_BYTES, hosts=['127.0.0.1'])
    with (
        running(app) as address,
        httpx.Client(base_url=address, trust_env=False, timeout=60) as http,
    ):
        yield SimpleNamespace(
            address=address, http=http, gallery=gallery, folder=folder, service=service
        )


@pytest.fixture(scope='module')
def driver(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp('chromium'), logged=True) as driver:
        yield driver
