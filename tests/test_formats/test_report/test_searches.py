import numpy as np
import pytest

from mmps.evaluation.functional.annotations import SearchGalleries
from mmps.formats.report.problem import EXAMPLES
from mmps.formats.report.searches import find_search_problems
from mmps.formats.report.split import Split
from mmps.formats.scene_index import Frame, Query, SceneIndex

BOX, OTHER = [0, 0, 10, 20], [5, 5, 15, 25]
FRAMES = [
    Frame(name, np.float32([BOX, OTHER]), np.array(ids), f'{name}.mat')
    for name, ids in [('a.jpg', [7, 8]), ('b.jpg', [7, -1]), ('c.jpg', [9, 8]), ('d.jpg', [5, -1])]
]


def query(image, box, person):
    return Query(image, np.float32(box), person, f'queries.txt, {image}')


def found(queries, galleries=None):
    split = Split.of('test', SceneIndex(FRAMES, 0, queries, galleries or {}), [])
    return {p.kind: (p.count, p.examples) for p in find_search_problems(split) if p.count}


def test_nothing_is_wrong():
    assert found([query('a.jpg', BOX, 7), query('c.jpg', OTHER, 8)]) == {}
    assert found([]) == {}


def test_a_person_seen_in_the_query_image_only_cannot_be_found():
    queries = [query('a.jpg', BOX, 7), query('c.jpg', BOX, 9)]
    assert found(queries) == {
        'query without a positive': (1, ('queries.txt, c.jpg: identity 9 in c.jpg',))
    }


def test_a_query_that_its_own_image_does_not_show_is_found_in_the_others():
    # Person 7 is in a and b; the box in c belongs to 9.
    assert found([query('c.jpg', BOX, 7)]) == {
        'query annotated as somebody else': (1, ('queries.txt, c.jpg: identity 7 in c.jpg',))
    }


def test_a_box_that_is_not_annotated_is_shown_with_the_nearest_one():
    problems = found([query('a.jpg', [0, 0, 10, 18], 7)])
    assert problems == {
        'query box not annotated': (
            1,
            (
                'queries.txt, a.jpg: identity 7 in a.jpg: [0, 0, 10, 18]; the nearest is '
                '[0, 0, 10, 20] (IoU 0.90)',
            ),
        )
    }


def test_repeated_queries():
    queries = [query('a.jpg', BOX, 7), query('c.jpg', OTHER, 8), query('a.jpg', BOX, 7)]
    assert found(queries) == {
        'query listed twice': (1, ('queries.txt, a.jpg: identity 7 in a.jpg',))
    }


def gallery(*searches, queries=None):
    """Searches given as ``(images, {entry: box of the person})``."""
    images = [image for listed, _ in searches for image in listed]
    splits = np.cumsum([0, *(len(listed) for listed, _ in searches)])
    positives = [
        start + entry
        for start, (_, shown) in zip(splits, searches, strict=False)
        for entry in sorted(shown)
    ]
    boxes = [shown[entry] for _, shown in searches for entry in sorted(shown)]
    return SearchGalleries(splits, images, positives, np.reshape(boxes, (-1, 4)), queries)


QUERIES = [query('a.jpg', BOX, 7), query('c.jpg', OTHER, 8)]
SEVEN = ([3, 1], {1: BOX})
EIGHT = ([1, 0, 3], {1: OTHER})
SHOWN = 'queries.txt, c.jpg: identity 8 in c.jpg'


@pytest.mark.parametrize(
    ('second', 'kind', 'example'),
    [
        (([1, 3], {}), 'query without a positive', f'gallery 100, search 1: {SHOWN}'),
        (
            ([1, 0, 2], {1: OTHER}),
            'own image in the gallery',
            f'gallery 100, search 1: {SHOWN}, entry 2: c.jpg',
        ),
        (
            ([1, 0, 3, 1], {1: OTHER}),
            'image repeated in a gallery',
            f'gallery 100, search 1: {SHOWN}, entry 3: b.jpg',
        ),
        (
            ([1, 0], {1: [5, 5, 15, 24]}),
            'positive not annotated',
            f'gallery 100, search 1: {SHOWN}, entry 1: a.jpg',
        ),
        (
            ([0, 1, 0], {0: OTHER}),
            'person in a gallery image not marked',
            f'gallery 100, search 1: {SHOWN}, entry 2: a.jpg',
        ),
    ],
)
def test_problems_of_galleries(second, kind, example):
    problems = found(QUERIES, {100: gallery(SEVEN, second)})
    assert problems[kind] == (1, (example,))
    assert set(problems) - {kind} <= {'image repeated in a gallery'}  # of the last case


def test_sound_galleries_and_queries_searched_several_times_or_never():
    once = gallery(SEVEN, EIGHT)
    several = gallery(EIGHT, EIGHT, queries=[1, 1])
    empty = gallery(queries=[])
    assert found(QUERIES, {100: once, 'occlusion': several, 'none': empty}) == {}


def test_only_the_first_cases_are_spelt_out():
    problems = found(QUERIES, {50: gallery(*[([1], {})] * 30, queries=[1] * 30)})
    count, examples = problems['query without a positive']
    assert count == 30
    assert len(examples) == EXAMPLES
