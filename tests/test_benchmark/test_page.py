import argparse

import cv2
import pytest
from helpers.coloured_people import ColourNetwork, coloured_scene
from helpers.page_server import running

from mmps.apis import PersonSearcher
from mmps.benchmark import page
from mmps.retrieval import Gallery
from mmps.utils.errors import UserError
from mmps.web import SearchService
from mmps.web.app import build_app


def arguments(*given):
    parser = argparse.ArgumentParser()
    page.add_arguments(parser)
    return parser.parse_args(given)


def test_every_step_of_every_user(tmp_path):
    scenes = [coloured_scene([((20, 20, 220), (10, 20, 34, 80))]), coloured_scene([])]
    files = [str(tmp_path / f'{number}.png') for number in range(2)]
    for file, scene in zip(files, scenes, strict=True):
        cv2.imwrite(file, scene)
    searcher = PersonSearcher.of_network(ColourNetwork())
    gallery = Gallery.open('memory:', searcher.tag)
    searcher.index(files, gallery, progress=False)
    with running(build_app(SearchService(searcher, gallery))) as address:
        measured = page.run(arguments(address, *files, '--clients', '3'))
    assert [m.stage for m in measured[1::2]] == list(page._STEPS)
    assert measured[0].value >= max(m.value for m in measured[1:]) > 0
    with pytest.raises(UserError, match='Connect'):
        page.run(arguments(address, *files, '--clients', '1'))
