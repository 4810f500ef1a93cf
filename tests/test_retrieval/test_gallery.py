"""What all engines have in common, and what is searched for once hits are marked."""

import math
from datetime import datetime

import numpy as np
import pytest
from helpers.galleries import GalleryOracle, described, model_tag, random_frame
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmps.benchmark.search_sets import Size, random_test_set
from mmps.evaluation.functional import similarities
from mmps.evaluation.functional.search import top_matches
from mmps.retrieval import (
    COLOURS,
    AsWritten,
    Gallery,
    GalleryError,
    IndexedFrame,
    Where,
    refined_query,
)
from mmps.retrieval.rows import pack_colours, unpack_colours

DIM = 4
DIRECTIONS = np.array(
    [
        (1, 0, 0, 0),
        (0, 1, 0, 0),
        (0.6, 0.8, 0, 0),
        (0.8, 0.6, 0, 0),
        (-1, 0, 0, 0),
        (0, 0, 0.6, 0.8),
    ],
    np.float32,
)
"""Few, so that many people are equally similar."""
SOURCES = ['/a/1.jpg', "/a/it's 100%.jpg", '/a/new\nline_"q".jpg', 'b.mp4']
CAMERAS = [None, 'north', "south's", 'a"b\\c%']
VALUES = [1, 1.0, True, 'x', 'a",b":"_%\\', 'é', '1', '1.0', '1e0', 'true']

metadata = st.dictionaries(st.sampled_from(['a', 'b"', 'a_b']), st.sampled_from(VALUES), max_size=2)
wanted = st.dictionaries(
    st.sampled_from(['a', 'b"', 'a_b']),
    st.sampled_from(
        [*VALUES, *(AsWritten(v) for v in ('1', '1.0', '1e0', '01', '1_0', 'true', 'x'))]
    ),
    max_size=2,
)
worn = st.lists(st.sampled_from(COLOURS[:4]), unique=True, max_size=3)
colours = st.builds(pack_colours, worn, worn)
times = st.sampled_from([None, 0.0, 1.5, 2.5, 1e9])


@st.composite
def frames(draw):
    people = draw(st.integers(0, 4))
    chosen = draw(st.lists(st.integers(0, 5), min_size=people, max_size=people))
    return IndexedFrame(
        draw(st.sampled_from(SOURCES)),
        (640, 480),
        np.arange(4 * people, dtype=np.float32).reshape(-1, 4),
        np.linspace(0.5, 1, people, dtype=np.float32),
        DIRECTIONS[chosen].reshape(-1, DIM),
        frame=draw(st.integers(0, 2)),
        offset=draw(times),
        time=draw(times),
        camera=draw(st.sampled_from(CAMERAS)),
        metadata=draw(metadata),
        colours=draw(st.lists(colours, min_size=people, max_size=people)),
    )


def some(values):
    return st.none() | st.lists(st.sampled_from(values), max_size=2)


filters = st.builds(
    Where,
    cameras=some(CAMERAS[1:]),
    sources=some(SOURCES),
    since=st.none() | times,
    until=st.none() | times,
    metadata=st.none() | wanted,
    upper=st.none() | worn,
    lower=st.none() | worn,
)
batches = st.lists(frames(), max_size=4, unique_by=lambda frame: (frame.source, frame.frame))
changes = st.one_of(
    st.tuples(st.just('append'), batches),
    st.tuples(st.just('delete'), filters),
    st.tuples(st.just('delete people'), st.integers(0, 5)),
    st.tuples(st.just('update'), st.tuples(filters, st.sampled_from(CAMERAS), metadata)),
    st.tuples(st.just('compact'), st.none()),
)


def apply(gallery, oracle, change, argument):
    if change == 'append':
        gallery.append(argument)
        oracle.append(argument)
    elif change == 'delete':
        assert gallery.delete(argument) == oracle.delete(argument)
    elif change == 'delete people':
        hits = gallery.search(DIRECTIONS[argument], 2)[0]
        gone = [person[1:] for person in oracle.search(DIRECTIONS[argument], 2)]
        assert gallery.delete([hit.id for hit in hits]) == len(gone)
        oracle.delete_people(gone)
    elif change == 'update':
        where, camera, entries = argument
        gallery.update(where, camera=camera, metadata={**entries, 'a': None})
        oracle.update(where, camera, {**entries, 'a': None})
    else:
        gallery.compact()


@pytest.fixture
def agrees(new_address):
    """Compares a new gallery with the oracle, after a history of both."""

    def agrees(history, where, top_k):
        gallery, oracle = Gallery.open(new_address(), model_tag(DIM)), GalleryOracle()
        for change in history:
            apply(gallery, oracle, *change)
        assert gallery.known() == set(oracle.frames)
        assert gallery.known('b.mp4') == {key for key in oracle.frames if key[0] == 'b.mp4'}
        assert len(gallery) == len(oracle.people())
        found = gallery.search(DIRECTIONS[:4], top_k, where)
        for query, hits in zip(DIRECTIONS[:4], found, strict=True):
            expected = oracle.search(query, top_k, where)
            assert described(hits) == [person[:3] for person in expected]
            for hit, (_, source, frame, number) in zip(hits, expected, strict=True):
                person = oracle.frames[source, frame][1][number]
                assert hit.bbox == tuple(person.bboxes) and hit.score == person.scores
                assert (hit.offset, hit.time, hit.camera) == (
                    person.offset,
                    person.time,
                    person.camera,
                )
                assert repr(sorted(hit.metadata.items())) == repr(sorted(person.metadata.items()))
                assert hit.size == (640, 480)
                assert (hit.upper, hit.lower) == unpack_colours(person.colours)
            vectors = [oracle.frames[s, f][1][n].embeddings for _, s, f, n in expected]
            ids = [hit.id for hit in hits]
            np.testing.assert_array_equal(
                gallery.embeddings_of(ids), np.reshape(vectors, (-1, DIM)).astype(np.float32)
            )
            assert [hit.bbox for hit in gallery.hits_of(ids)] == [hit.bbox for hit in hits]

    return agrees


def test_any_history_gives_what_brute_force_gives(agrees, request):
    examples = {'memory': 40, 'lance': 25, 'store': 25, 'milvus': 12}
    name = request.node.callspec.params['new_address']

    @settings(
        max_examples=examples[name],
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(changes, min_size=1, max_size=5), filters, st.integers(1, 8))
    def check(history, where, top_k):
        agrees(history, where, top_k)

    check()


@pytest.fixture
def gallery(new_address):
    rng = np.random.default_rng(0)
    made = Gallery.open(new_address(), model_tag(8))
    made.append(
        [
            random_frame(rng, 'a.jpg', 3, 8, time=5.0, camera='x'),
            random_frame(rng, 'empty.jpg', 0, 8, time=6.0),
            random_frame(rng, 'v.mp4', 2, 8, frame=7, offset=0.5, time=7.0, camera='y'),
        ]
    )
    return made


def test_info(gallery):
    info = gallery.info()
    assert (info.people, info.frames, info.sources) == (5, 3, 3)
    assert (info.timed, info.video_frames) == (5, 1)
    assert (info.cameras, info.first, info.last) == (('x', 'y'), 5.0, 7.0)
    assert info.model == gallery.model == model_tag(8)
    gallery.update(Where(cameras=['y']), time=None)
    assert gallery.info().timed == 3


def test_frames_and_their_times(gallery):
    places = sorted(gallery.frames())
    empty, image, video = places[1], places[0], places[2]
    assert image == ('a.jpg', 0, None, 5.0) and empty[:2] == ('empty.jpg', 0)
    assert video == ('v.mp4', 7, 0.5, 7.0)


def test_the_fingerprint_is_of_what_is_there(gallery):
    before = gallery.fingerprint()
    rng = np.random.default_rng(0)
    copies = [Gallery.open('memory:', model_tag(8)) for _ in range(2)]
    options = (('a.jpg', 3, 8, dict(time=5.0, camera='x')), ('empty.jpg', 0, 8, dict(time=6.0)))
    frames = [random_frame(rng, *some, **more) for *some, more in options]
    frames.append(random_frame(rng, 'v.mp4', 2, 8, frame=7, offset=0.5, time=7.0, camera='y'))
    for frame, other in zip(frames, reversed(frames), strict=True):
        copies[0].append([frame])
        copies[1].append([other])
    assert [copy.fingerprint() for copy in copies] == [before, before]
    gallery.update(Where(cameras=['x']), camera='z')
    assert gallery.fingerprint() != before


def test_a_frame_of_which_nobody_is_left_stays_known(gallery):
    query = np.eye(8, dtype=np.float32)[0]
    hits = gallery.search(query, 9, Where(sources=['v.mp4']))[0]
    assert gallery.delete([hit.id for hit in hits]) == 2
    assert ('v.mp4', 7) in gallery.known() and len(gallery) == 3
    assert gallery.info().last == 7.0
    assert gallery.search(query, 9, Where(cameras=['y'])) == [[]]


@pytest.mark.parametrize('people', [0, 1, 5])
def test_a_frame_is_replaced_as_a_whole(gallery, people):
    (frame,) = [random_frame(np.random.default_rng(4), 'a.jpg', people, 8, camera='new')]
    gallery.append([frame])
    found = gallery.people_in('a.jpg')
    assert sorted(hit.bbox for hit in found) == sorted(map(tuple, frame.bboxes.tolist()))
    assert {hit.camera for hit in found} <= {'new'}
    assert len(gallery) == people + 2 and gallery.info().frames == 3
    assert len(gallery._engine.select(Where(sources=['a.jpg']))) == max(people, 1)


def test_forgetting_a_source_and_what_is_old(gallery):
    assert gallery.delete_source('v.mp4') == 2
    assert gallery.known() == {('a.jpg', 0), ('empty.jpg', 0)}
    assert gallery.expire(5.5) == 3
    assert gallery.known() == {('empty.jpg', 0)}


def test_ids_do_not_depend_on_the_engine_or_the_order(gallery):
    rng = np.random.default_rng(1)
    other = Gallery.open('memory:', model_tag(8))
    other.append([random_frame(rng, 'z.jpg', 1, 8), random_frame(rng, 'a.jpg', 4, 8)])
    query = np.eye(8)[:1]
    ids = {hit.id for hit in gallery.search(query, 9, Where(sources=['a.jpg']))[0]}
    assert ids < {hit.id for hit in other.search(query, 9, Where(sources=['a.jpg']))[0]}
    assert all(0 <= number < 2**63 for number in ids)


def test_more_equal_people_than_are_asked_for_at_first(new_address):
    gallery = Gallery.open(new_address(), model_tag(DIM))
    names = [f'{number:03}.jpg' for number in range(150)]
    vectors = np.repeat(DIRECTIONS[:1], 1, 0)
    box, score = np.zeros((1, 4)), np.ones(1)
    gallery.append([IndexedFrame(name, (4, 4), box, score, vectors) for name in names[::-1]])
    hits = gallery.search(DIRECTIONS[0], 5)[0]
    assert [hit.source for hit in hits] == names[:5]


def test_an_approximate_search_of_everything_is_exact(gallery):
    assert gallery.recall(5, 3) == 1.0
    query = np.eye(8)[:2]
    assert gallery.search(query, 9, approximate=True) == gallery.search(query, 9)


def test_nobody_is_there(new_address):
    gallery = Gallery.open(new_address(), model_tag(8))
    assert gallery.search(np.eye(8)[:2], 3) == [[], []]
    assert (len(gallery), gallery.known(), gallery.info().first) == (0, set(), None)
    assert gallery.embeddings_of([]).shape == (0, 8)
    gallery.append([])
    assert gallery.delete(Where()) == 0
    with pytest.raises(GalleryError, match='nobody is there'):
        gallery.recall()


def test_unknown_ids_are_named(gallery):
    with pytest.raises(KeyError, match='nobody with id 12'):
        gallery.embeddings_of([12])
    with pytest.raises(KeyError, match='nobody with id 12'):
        gallery.delete([12])


GOOD = dict(bboxes=np.zeros((1, 4)), scores=np.ones(1), embeddings=np.eye(8)[:1])


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'bboxes': np.zeros((2, 4))}, r"'s', frame 0: bboxes has shape \(2, 4\), not \(1, 4\)"),
        ({'embeddings': np.eye(9)[:1]}, r'embeddings has shape \(1, 9\), not \(1, 8\)'),
        ({'embeddings': np.ones((1, 8))}, 'unit norm, one has 2.828'),
        ({'embeddings': np.full((1, 8), np.nan)}, 'embeddings is not finite'),
        ({'time': math.inf}, 'time is not finite'),
        ({'time': 1e18}, "'s', frame 0: time: 1e\\+18 s since 1970 is in no calendar"),
        ({'time': 1772366400123}, r'milliseconds\? In seconds it is 1772366400\.123'),
        ({'metadata': {'k': [1]}}, r"metadata 'k': \[1\] is not a name"),
        ({'camera': '\ud800'}, 'is not Unicode'),
    ],
)
def test_a_frame_that_does_not_fit_is_refused_as_are_those_with_it(change, message):
    gallery = Gallery.open('memory:', model_tag(8))
    frame = IndexedFrame('s', (4, 4), **{**GOOD, **change})
    with pytest.raises(ValueError, match=message):
        gallery.append([IndexedFrame('fine', (4, 4), **GOOD), frame])
    assert not gallery.known()


def test_other_units_of_time_are_refused_everywhere(gallery):
    before = gallery.info()
    for change in (
        lambda: gallery.update(Where(), time=1772366400123),
        lambda: gallery.expire(1772366400123),
    ):
        with pytest.raises(ValueError, match='are these milliseconds'):
            change()
    assert gallery.info() == before


def test_values_as_they_are_written(gallery):
    rng = np.random.default_rng(2)
    values = ['2', 2, 2.0, '02', True, 'true', '1e3', 1000, 1000.0, 'hall', '1_0', 10, 'nan']
    gallery.append(
        [random_frame(rng, f'/{i}.jpg', 1, 8, metadata={'v': v}) for i, v in enumerate(values)]
    )

    def found(value):
        hits = gallery.search(np.eye(8)[:1], 99, Where(metadata={'v': value}))[0]
        return [values[place] for place in sorted(int(hit.source[1:-4]) for hit in hits)]

    def same(value, *expected):
        assert list(map(repr, found(value))) == list(map(repr, expected))

    same(AsWritten('2'), '2', 2, 2.0)
    same(AsWritten('02'), 2, 2.0, '02')
    same(AsWritten('true'), True, 'true')
    same(AsWritten('1e3'), '1e3', 1000, 1000.0)
    same(AsWritten('1000'), 1000, 1000.0)
    same(AsWritten('1_0'), '1_0')
    same(AsWritten('nan'), 'nan')
    same('2', '2')
    same(2, '2', 2)
    same(2.0, 2.0)
    same(True, True, 'true')


def test_a_frame_given_twice():
    gallery = Gallery.open('memory:', model_tag(8))
    frame = IndexedFrame('s', (4, 4), **GOOD, frame=3)
    with pytest.raises(ValueError, match="'s', frame 3, is given twice"):
        gallery.append([frame, frame])


def test_queries_that_do_not_fit():
    gallery = Gallery.open('memory:', model_tag(8))
    with pytest.raises(ValueError, match=r'shape \(7,\), not \(q, 8\)'):
        gallery.search(np.zeros(7))
    with pytest.raises(ValueError, match='not finite'):
        gallery.search(np.full(8, np.nan))
    with pytest.raises(ValueError, match='top_k is 0'):
        gallery.search(np.zeros(8), 0)
    with pytest.raises(TypeError, match=r"cameras is a collection of names, not one: \['a'\]"):
        Where(cameras='a')
    with pytest.raises(ValueError, match="lower: 'navy' is none of black, white, grey, red"):
        Where(lower=['navy'])
    with pytest.raises(TypeError, match='cameras: 3 is no string'):
        Where(cameras=[3])
    for wrong in ('2026-03-01', datetime(2026, 3, 1)):
        with pytest.raises(TypeError, match='seconds since 1970-01-01 UTC are needed'):
            Where(since=wrong)


def test_one_query_without_marks_is_itself():
    query = np.array([[0.6, 0.8]], np.float32)
    assert refined_query(query, np.empty((0, 2)), np.empty((0, 2))).tobytes() == query.tobytes()


def test_queries_are_averaged():
    np.testing.assert_allclose(refined_query(np.eye(2)), [0.5**0.5, 0.5**0.5], rtol=1e-6)


def test_marks_pull_and_push():
    # (1, 0, 0) + 0.75 * (0, 1, 0) - 0.15 * (0, 0, 1), of length sqrt(1.585)
    refined = refined_query(
        np.array([[1, 0, 0]]), np.array([[0, 1, 0]]), np.array([[0, 0, 1], [0, 0, 1]])
    )
    np.testing.assert_allclose(refined, np.array([1, 0.75, -0.15]) / 1.585**0.5, rtol=1e-6)
    assert refined.dtype == np.float32


def test_nothing_to_search_for():
    with pytest.raises(ValueError, match='at least one row'):
        refined_query(np.empty((0, 4)))
    with pytest.raises(ValueError, match='cancel out'):
        refined_query(np.array([[1.0, 0], [-1, 0]]))


TEST_SET = Size(images=40, boxes=120, labelled=90, people=6, queries=15, detections=400, dim=64)


@pytest.mark.parametrize('address', ['memory:', 'people.lance'])
@pytest.mark.parametrize('chunk', [2**20, 64])
def test_rankings_are_those_of_the_metric(tmp_path, monkeypatch, address, chunk):
    annotations, predictions = random_test_set(TEST_SET, np.random.default_rng(0))
    # many detections with the same embedding, wherever they stand
    predictions.embeddings[100:300] = predictions.embeddings[::2][:200]
    where = 'memory:' if address == 'memory:' else tmp_path / address
    monkeypatch.setattr(similarities, 'NEAREST_VALUES', chunk)
    gallery = Gallery.open(where, model_tag(TEST_SET.dim))
    splits = predictions.image_splits
    gallery.append(
        [
            IndexedFrame(
                f'{image:04}',
                (640, 480),
                predictions.bboxes[a:b],
                predictions.scores[a:b],
                predictions.embeddings[a:b],
            )
            for image, (a, b) in enumerate(zip(splits[:-1], splits[1:], strict=True))
        ]
    )
    # the image of the query is not searched by the metric, but is in the gallery
    expected = top_matches(
        annotations, predictions, range(TEST_SET.queries), 30, score_thr=0, gallery_size='all'
    )
    found = gallery.search(predictions.query_embeddings, 60)
    for query, matches in enumerate(expected):
        own = f'{annotations.query_images[query]:04}'
        hits = [hit for hit in found[query] if hit.source != own][:30]
        assert [hit.similarity for hit in hits] == [match.similarity for match in matches]
        for level in {match.similarity for match in matches[:-1]} - {matches[-1].similarity}:
            images = {f'{m.image:04}' for m in matches if m.similarity == level}
            assert images == {hit.source for hit in hits if hit.similarity == level}
        ties = [(-hit.similarity, hit.source) for hit in found[query]]
        assert ties == sorted(ties)
