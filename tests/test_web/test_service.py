import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from helpers.coloured_people import BLUE, LEFT, RED, RIGHT, coloured_scene

from mmps.evaluation.functional import Calibration
from mmps.retrieval import Where, refined_query
from mmps.retrieval.rows import frame_id
from mmps.web.scenes import GoneError
from mmps.web.session import MOST_EXEMPLARS, Marks, Session


@pytest.fixture
def session(service, picture):
    """Somebody red and somebody blue have been found."""
    return service.open_picture(Session(), picture, 'me.png')


def names(session):
    return [hit.source.rpartition('/')[2] for hit in session.hits]


def test_people_of_a_picture(session):
    np.testing.assert_array_equal(session.picture.people.bboxes, [LEFT, RIGHT])
    assert session.exemplars == () and session.hits == ()
    assert cv2.imdecode(np.frombuffer(session.picture.jpeg, np.uint8), 1).shape == (96, 160, 3)


def test_the_only_person_of_a_picture_is_chosen(service):
    content = cv2.imencode('.png', coloured_scene([(BLUE, LEFT)]))[1].tobytes()
    session = service.open_picture(Session(), content, 'me.png')
    assert session.chosen == 0 and names(session)[0] in ('cam2_c.png', 'door.mp4')


def test_search_ranks_as_the_product_does(service, session):
    session = service.choose(session, 0, add=False)
    people = [hit for hit in service.search(replace(session, top_k=100)).hits]
    similarities = (
        service.gallery.embeddings_of([hit.id for hit in people])
        @ (session.picture.people.embeddings[0])
    )
    assert len(people) == service.gallery.info().appearances
    np.testing.assert_allclose([hit.similarity for hit in people], similarities, atol=1e-6)
    assert (np.diff(similarities) <= 1e-6).all()
    assert names(session)[:2] == ['cam1_a.png', 'cam2_b.png']


def test_the_same_ranking_as_the_api(service, searcher, session, picture, gallery):
    image = cv2.imdecode(np.frombuffer(picture, np.uint8), 1)
    expected = searcher.search(image, RIGHT, gallery=gallery).hits
    assert list(service.choose(session, 1, add=False).hits) == list(expected)


def test_several_pictures_are_averaged(service, session):
    session = service.choose(session, 0, add=False)
    session = service.choose(session, 1, add=True)
    expected = refined_query(session.picture.people.embeddings)
    np.testing.assert_array_equal(service.embedding(session), expected)
    session = service.search(session.without(0))
    np.testing.assert_array_equal(service.embedding(session), session.picture.people.embeddings[1])
    assert service.search(session.without(0)).hits == ()


def test_a_picture_that_must_not_match(service, session, searcher, picture, gallery):
    plain = service.choose(session, 1, add=False)
    first = plain.picture.people.embeddings
    session = service.choose(plain, 0, add=True, unlike=True)
    np.testing.assert_array_equal(
        service.embedding(session), refined_query(first[1:], wrong=first[:1])
    )
    image = cv2.imdecode(np.frombuffer(picture, np.uint8), 1)
    red, blue = searcher.query(image, LEFT), searcher.query(image, RIGHT)
    expected = searcher.search([blue], gallery=gallery, wrong=[red]).hits
    assert list(session.hits) == list(expected) != list(plain.hits)
    content = json.loads(service.export(session, blur_others=True)[0])
    assert content['query']['lookalikes'] == ['me.png'] and content['refined']
    assert service.search(session.without(1)).hits == plain.hits
    for nobody in (session.without(0), service.choose(session, 1, add=False)):
        assert nobody.lookalikes == ()
    with pytest.raises(ValueError, match='search for somebody first'):
        service.choose(session.without(0), 0, add=True, unlike=True)


def test_not_any_number_of_pictures(service, session):
    for _ in range(MOST_EXEMPLARS):
        session = service.choose(session, 0, add=True)
    with pytest.raises(ValueError, match='at most'):
        service.choose(session, 0, add=True)
    session = replace(session, lookalikes=session.exemplars)
    with pytest.raises(ValueError, match='at most'):
        service.choose(session, 1, add=True, unlike=True)


def test_a_box_that_nobody_found(service, session, searcher):
    edges = (10 / 160, 20 / 96, 34 / 160, 50 / 96)  # the upper half
    session = service.choose_box(session, edges, add=False)
    assert session.chosen == edges and names(session)[0] == 'cam1_a.png'
    assert session.exemplars[0].name == 'me.png'
    assert service.choose(session, 1, add=False).chosen == 1
    with pytest.raises(ValueError, match='choose it again'):
        service.choose_box(Session(), edges, add=False)


def test_whoever_is_near_is_cut_out(service, session, searcher, monkeypatch):
    asked = []
    query = searcher.query
    monkeypatch.setattr(searcher, 'query', lambda *given: asked.append(given) or query(*given))
    service.choose_box(session, (0.5, 0.1, 1.0, 0.9), add=False)
    service.choose_box(session, (0.0, 0.0, 1.0, 1.0), add=False)
    service.choose_box(session, (0.5, 0.1, 1.0, 0.5), add=False)
    assert [(image.shape, box if isinstance(box, str) else '') for image, box in asked] == [
        ((76, 80, 3), 'whole'),
        ((96, 160, 3), 'whole'),
        ((96, 160, 3), ''),
    ]


def test_a_hit_as_the_next_query(service, session):
    session = service.choose(session, 0, add=False)
    green = next(hit for hit in session.hits if hit.bbox[0] == RIGHT[0])
    session = service.choose_hit(session.marked(session.hits[0].id, 'right'), green.id, add=False)
    assert session.hits[0].id == green.id and session.hits[0].similarity == pytest.approx(1)
    assert session.marks == Marks()  # it was about somebody else
    assert session.exemplars[0].name == 'cam1_a.png'


def test_marks_refine_the_search(service, session):
    session = service.choose(session, 0, add=False)
    red, dark = session.hits[:2]
    session = session.marked(dark.id, 'right').marked(red.id, 'wrong')
    assert service.search(session).hits == session.hits  # not before it is asked to
    refined = service.search(session.refined())
    assert red.id not in [hit.id for hit in refined.hits]
    assert refined.hits[0].id == dark.id
    expected = refined_query(
        session.picture.people.embeddings[:1],
        service.gallery.embeddings_of([dark.id]),
        service.gallery.embeddings_of([red.id]),
    )
    np.testing.assert_array_equal(service.embedding(refined), expected)


def test_a_mark_is_taken_back_or_changed():
    marks = Marks().toggled(7, 'right').toggled(8, 'wrong').toggled(7, 'wrong')
    assert marks == Marks((), (8, 7))
    assert marks.toggled(8, 'wrong') == Marks((), (7,))


def test_a_wrong_hit_leaves_its_place_to_the_next(service, session):
    session = service.choose(replace(session, top_k=2), 0, add=False)
    first, second = session.hits
    refined = service.search(session.marked(first.id, 'wrong').refined())
    assert len(refined.hits) == 2 and refined.hits[0].id == second.id


def test_marks_of_deleted_people_are_dropped(service, session):
    session = service.choose(session, 0, add=False)
    gone = session.hits[0].id
    service.gallery.delete([gone])
    session = service.search(session.marked(gone, 'wrong').refined())
    assert session.marks == session.counted == Marks() and gone not in [
        hit.id for hit in session.hits
    ]


def test_filter(service, session):
    where = Where(cameras=['2'])
    session = service.choose(replace(session, where=where), 0, add=False)
    assert set(names(session)) == {'cam2_b.png', 'cam2_c.png'}


def test_a_filter_that_cannot_be_read_finds_nobody(service, session):
    session = service.choose(session, 0, add=False)
    session = service.search(replace(session, problem='From: no time.'))
    assert session.hits == ()
    with pytest.raises(ValueError, match='From: no time'):
        service.export(session, blur_others=True)
    assert service.search(replace(session, problem='')).hits


def test_another_picture_ends_the_search_unless_pictures_are_collected(service, session):
    session = service.choose(session, 0, add=False).marked(5, 'right')
    ended, kept = session.opening(add=False), session.opening(add=True)
    assert (ended.picture, ended.exemplars, ended.hits, ended.marks) == (None, (), (), Marks())
    assert (kept.picture, kept.chosen) == (None, None)
    assert (kept.exemplars, kept.hits, kept.marks) == (session.exemplars, session.hits, Marks((5,)))
    refused = ended.refused('a.txt', 'the image: not an image of a known kind')
    assert refused.refusal == 'a.txt cannot be used: not an image of a known kind.'
    assert refused.opening(add=False).refusal == ''


def test_pictures_that_are_refused(service, picture):
    with pytest.raises(ValueError, match='truncated'):
        service.open_picture(Session(), picture[:-20], 'cut.png')
    with pytest.raises(ValueError, match='not an image of a known kind'):
        service.check_picture(b'no picture')
    large = cv2.imencode('.png', np.zeros((1001, 1000, 3), np.uint8))[1].tobytes()
    with pytest.raises(ValueError, match='more than the limit'):
        service.check_picture(large)


def test_people_who_are_not_there(service, session):
    with pytest.raises(ValueError, match='choose again'):
        service.choose(session, 2, add=False)
    with pytest.raises(ValueError, match='choose again'):
        service.choose(Session(), 0, add=False)
    with pytest.raises(KeyError):
        service.choose_hit(session, 5, add=False)


def test_a_scene_of_the_gallery(service, sources, searcher):
    key, calls = frame_id(str(sources / 'cam1_a.png'), 0), searcher.network.calls
    session = service.open_frame(Session(), key)
    assert searcher.network.calls == calls  # who is in it was known
    np.testing.assert_array_equal(session.picture.people.bboxes, [LEFT, RIGHT])
    assert service.choose(session, 0, add=False).hits[0].similarity == pytest.approx(1)
    (sources / 'cam1_a.png').unlink()
    with pytest.raises(GoneError, match='cam1_a'):
        service.open_frame(Session(), key)


def test_export(service, session, sources):
    service.gallery.update(Where(sources=[str(sources / 'cam1_a.png')]), time=1.0)
    session = replace(session, where=Where(since=0.0))
    session = service.choose(session, 0, add=False)
    session = session.marked(session.hits[1].id, 'right')
    content, sheet = service.export(session, blur_others=True)
    content = json.loads(content)
    assert [hit['id'] for hit in content['hits']] == [str(hit.id) for hit in session.hits]
    assert content['where']['since'] == 0.0
    given = dict(people=['me.png'], lookalikes=[], right=[str(session.hits[1].id)], wrong=[])
    assert content['query'] == given
    pixels = cv2.imdecode(np.frombuffer(sheet, np.uint8), 1)
    pure = lambda colour: (pixels == colour).all(2).any()  # noqa: E731
    assert pure(RED)
    with pytest.raises(ValueError, match='first'):
        service.export(Session(), blur_others=True)


def test_a_query_whose_file_is_gone(service, session, sources):
    session = service.choose(session, 0, add=False)
    hit = session.hits[0]
    (sources / 'cam1_a.png').unlink()
    session = service.choose_hit(session, hit.id, add=False)
    assert session.exemplars[0].cut is None and session.hits[0].id == hit.id
    assert service.export(session, blur_others=False)[1].startswith(b'\x89PNG')


def test_a_mark_stays_with_the_appearance(service, session, sources):
    first, later = service.gallery.people_in(str(sources / 'door.mp4'), 10), None
    later = service.gallery.people_in(str(sources / 'door.mp4'), 15)
    assert first[0].tracklet == later[0].tracklet
    session = service.choose(session.marked(later[0].id, 'right'), 1, add=True)
    shown = next(one.hit for one in session.appearances if one.id == later[0].tracklet)
    assert session.marks == Marks((shown.id,)) and shown.id == first[0].id
    assert service.right_appearances(session) == {shown.tracklet}
    wrong = service.search(replace(session, marks=Marks((), (later[0].id,))).refined())
    assert shown.tracklet not in [one.id for one in wrong.appearances]


CALIBRATION = Calibration(
    [-0.5, 0.999], [0.9, 0.001], [0.8, 0.0005], [0.95, 0.002], 10**6, 500, 'labelled'
)


def test_hits_of_a_calibrated_gallery_are_judged(service, session):
    session = service.choose(session, 0, add=False)
    assert service.judgement(session) is None
    service.gallery.keep_calibration(CALIBRATION)
    judged = service.judgement(session)
    assert judged.searched == len(service.gallery)
    assert [m.rate for m in judged.matches] == [
        CALIBRATION.false_match(hit.similarity).rate for hit in session.hits
    ]
    content = json.loads(service.export(session, blur_others=False)[0])
    assert content['judgement']['verdict'] == judged.verdict
    filtered = service.search(replace(session, where=Where(cameras=['door'])))
    assert service.judgement(filtered).searched == service.gallery.count(filtered.where) == 2


def test_nothing_is_said_of_several_pictures_or_marks(service, session):
    service.gallery.keep_calibration(CALIBRATION)
    assert service.judgement(session) is None  # nobody is searched for
    session = service.choose(session, 0, add=False)
    marked = session.marked(session.hits[0].id, 'right')
    assert service.judgement(marked) is not None  # a mark does not count before it is asked to
    assert service.judgement(service.search(marked.refined())) is None
    assert service.judgement(service.choose(session, 1, add=True)) is None


def test_saved_marks_tell_what_they_were_made_with(service, session):
    session = service.choose(session, 0, add=False)
    marked = session.marked(session.hits[0].id, 'right')
    content = json.loads(service.export(marked, blur_others=False)[0])
    assert content['searched'] == len(service.gallery) and content['refined'] is False
    refined = service.search(marked.refined())
    assert json.loads(service.export(refined, blur_others=False)[0])['refined'] is True
