"""What is wrong with a file is named, with its place."""

import json
import re

import pytest
from helpers.coco_files import document, galleries, refuse

from mmps.formats.coco import CocoPersonSearchFiles


def change(*path, to):
    """A change of the document: the value at ``path``, or its absence if ``to`` is None."""

    def apply(content):
        *parents, last = path
        for key in parents:
            content = content[key]
        if to is None:
            del content[last]
        else:
            content[last] = to

    return apply


SEARCH = ('galleries', 0, 'searches', 0)


@pytest.mark.parametrize(
    ('apply', 'message'),
    [
        (change('images', to=None), 'images: missing; the object has info'),
        (change('images', to={}), 'images: {} is not a list'),
        (change('images', 1, to=7), r'images\[1\]: 7 is not an object such as {"id"'),
        (change('images', 1, 'id', to=None), r'images\[1\].id: missing'),
        (change('images', 1, 'id', to='3'), r'images\[1\].id: "3" is text'),
        (change('images', 1, 'id', to=5), r'images\[1\].id: 5 occurs twice'),
        (change('images', 1, 'file_name', to=None), r'images\[1\].file_name: missing'),
        (change('images', 1, 'file_name', to=4), r'images\[1\].file_name: 4 is not a text'),
        (
            change('images', 1, 'file_name', to='cam1/a.jpg'),
            r'images\[1\].file_name: "cam1/a.jpg" occurs twice, first in images\[0\]',
        ),
        (
            change('images', 1, 'file_name', to='./cam1\\a.jpg'),
            r'images\[1\].file_name: "./cam1\\\\a.jpg" occurs twice, first in images\[0\]',
        ),
        (change('images', 1, 'cam_id', to='hall'), r'images\[1\].cam_id: "hall" is text'),
        (change('images', 1, 'cam_id', to=-2), r'images\[1\].cam_id: -2 given; count cameras'),
        (change('annotations', to=None), 'annotations: missing'),
        (change('annotations', 1, to=[1, 2, 3, 4]), r'annotations\[1\]: .*is not an object'),
        (change('annotations', 1, 'image_id', to=8), r'annotations\[1\].image_id: no image has'),
        (change('annotations', 1, 'image_id', to=None), r'annotations\[1\].image_id: missing'),
        (change('annotations', 1, 'id', to=11), r'annotations\[1\].id: 11 occurs twice, first in'),
        (change('annotations', 1, 'bbox', to=None), r'annotations\[1\].bbox: missing'),
        (change('annotations', 1, 'bbox', to='1 2 3 4'), r'annotations\[1\].bbox: "1 2 3 4" is n'),
        (change('annotations', 1, 'bbox', 2, to='3'), r'annotations\[1\].bbox\[2\]: "3" is text'),
        (change('annotations', 1, 'bbox', 2, to=-3), r'annotations\[1\].bbox: .*not two corners'),
        (change('annotations', 1, 'bbox', 2, to=1e30), r'annotations\[1\].bbox: .*1,000,000 pix'),
        (change('annotations', 1, 'person_id', to='7'), r'annotations\[1\].person_id: "7" is text'),
        (change('annotations', 1, 'person_id', to=7.5), r'annotations\[1\].person_id: 7.5 is not'),
        (change('annotations', 1, 'person_id', to=2**40), r'annotations\[1\].person_id: .*too l'),
        (
            change('annotations', 1, 'person_id', to=-3),
            r'annotations\[1\].person_id: -3 given; ids',
        ),
        (change('annotations', 1, 'cam_id', to=4), r"annotations\[1\].cam_id: 4, but 1 .*'cam1/a"),
        (
            change('annotations', 1, 'is_query', to='yes'),
            r'annotations\[1\].is_query: "yes" is nei',
        ),
        (change('annotations', 2, 'is_query', to=True), r'annotations\[2\]: a query of an unlabel'),
        (change('annotations', 1, 'iscrowd', to=3), r'annotations\[1\].iscrowd: 3 is neither'),
        (
            change('annotations', 1, 'category_id', to=None),
            r'annotations\[1\].category_id: missing',
        ),
        (change('galleries', 1, 'name', to=2), r'galleries\[1\].name: 2 occurs twice'),
        (change('galleries', 1, 'name', to=None), r'galleries\[1\].name: missing'),
        (change('galleries', 1, 'searches', to=None), r'galleries\[1\].searches: missing'),
        (change(*SEARCH, 'query', to=1), r'searches\[0\].query: 1 given; there are 1 queries'),
        (change(*SEARCH, 'images', 1, to=9), r'searches\[0\].images\[1\]: 9 is not the id of an'),
        (change(*SEARCH, 'images', 1, to='5'), r'searches\[0\].images\[1\]: "5" is not'),
        (change(*SEARCH, 'images', 1, to=True), r'searches\[0\].images\[1\]: true is not'),
        (change(*SEARCH, 'images', 1, to=10**30), r'searches\[0\].images: an image id is too l'),
        (
            change(*SEARCH, 'positives', 0, 'entry', to=3),
            r'positives\[0\].entry: 3 given; the search lists 3 images',
        ),
        (
            change(*SEARCH, 'positives', 0, 'bbox', to=[1, 2, 0, 4]),
            r'galleries\[0\]: galleries.bboxes: row 0 is',
        ),
    ],
)
def test_errors_name_file_position_and_fix(tmp_path, apply, message):
    content = document() | {'galleries': galleries()}
    apply(content)
    refuse(tmp_path, content, message)


@pytest.mark.parametrize('content', ['[]', '3', '"images"'])
def test_a_file_that_is_something_else(tmp_path, content):
    refuse(tmp_path, content, re.escape(f'{content} is not an object such as {{"images"'))


def test_unknown_rule_for_queries(tmp_path):
    with pytest.raises(ValueError, match="default_queries: 'random' given; None or 'first_per_"):
        CocoPersonSearchFiles(tmp_path, default_queries='random')


def test_every_truncation_is_a_clear_error(tmp_path):
    whole = json.dumps(document() | {'galleries': galleries()})
    for length in range(0, len(whole), 3):
        refuse(tmp_path, whole[:length], r'test\.json, line 1, column \d+: not valid JSON')


def test_no_mutation_crashes(tmp_path):
    """One value at a time becomes something else: the file loads, or the error names it."""
    whole = document() | {'galleries': galleries(), 'train_ids': [70, 9], 'queries': []}
    places = list(_places(whole))
    assert len(places) > 80
    for place in places:
        for value in (None, True, -1, 10**30, 1.5, 'x', [None], {}):
            content = json.loads(json.dumps(whole))
            parent = content
            for key in place[:-1]:
                parent = parent[key]
            parent[place[-1]] = value
            for test_mode in (False, True):
                path = tmp_path / ('test.json' if test_mode else 'train.json')
                path.write_text(json.dumps(content))
                try:
                    CocoPersonSearchFiles(tmp_path, test_mode).read()
                except ValueError as error:
                    assert str(error).startswith(str(path)), error


def _places(value, place=()):
    if place:
        yield place
    pairs = ()
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list):
        pairs = enumerate(value)
    for key, inner in pairs:
        yield from _places(inner, (*place, key))
