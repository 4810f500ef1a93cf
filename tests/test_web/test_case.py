import base64
import json
import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
from helpers.coloured_people import GREEN, LEFT, RED, RIGHT, coloured_scene

from mmps.evaluation.functional import Calibration
from mmps.retrieval import Where
from mmps.visualization import write_image
from mmps.web.case import pack_case, read_case
from mmps.web.session import MOST_EXEMPLARS, Case, Marks, Session


@pytest.fixture
def searched(service, picture):
    """Somebody red is searched for; the first hit is right, the last one not."""
    session = service.open_picture(Session(), picture, 'me.png')
    session = service.choose(session, 0, add=False)
    return session.marked(session.hits[0].id, 'right').marked(session.hits[-1].id, 'wrong')


@pytest.fixture
def filled(service, searched):
    return service.add_to_case(searched, ' Red ', 'line one\nline <two>')


def test_searches_are_added_to_a_case(service, searched):
    session = service.add_to_case(searched, 'Red', '')
    again = service.add_to_case(session, 'Red', '')
    assert len(again.case.exemplars) == 1 and again.case.marks == searched.marks
    other = service.choose(again, 1, add=False)  # another search drops marks, but not the case
    assert other.marks == Marks() and other.case.marks == searched.marks
    changed = service.add_to_case(other.marked(searched.hits[0].id, 'wrong'), 'Red', '')
    assert len(changed.case.exemplars) == 2
    assert changed.case.marks == Marks((), (searched.hits[-1].id, searched.hits[0].id))
    with pytest.raises(ValueError, match='search for somebody first'):
        service.add_to_case(Session(), '', '')
    many = replace(again.case, exemplars=again.case.exemplars * MOST_EXEMPLARS)
    with pytest.raises(ValueError, match='at most'):
        service.add_to_case(replace(other, case=many), '', '')


def test_a_case_is_saved_and_opened_again(service, filled):
    content, _ = service.save_case(filled)
    opened = service.open_case(Session(), content)
    assert (opened.case.title, opened.case.notes) == ('Red', 'line one\nline <two>')
    assert opened.marks == opened.case.marks == filled.case.marks
    ours, kept = opened.exemplars[0], filled.exemplars[0]
    np.testing.assert_array_equal(ours.embedding, kept.embedding)
    np.testing.assert_array_equal(ours.bbox, kept.bbox)
    assert ours.name == 'me.png' and abs(ours.cut.astype(int) - kept.cut).mean() < 8
    assert [hit.id for hit in opened.hits] == [hit.id for hit in filled.hits]
    with pytest.raises(ValueError, match='is empty'):
        service.save_case(Session())


def test_a_case_keeps_who_must_not_match(service, searched):
    session = service.choose(searched, 1, add=True, unlike=True)
    filled = service.add_to_case(session, '', '')
    assert len(service.add_to_case(filled, '', '').case.lookalikes) == 1
    content, report = service.save_case(filled)
    opened = service.open_case(Session(), content)
    assert [hit.id for hit in opened.hits] == [hit.id for hit in session.hits]
    np.testing.assert_array_equal(service.embedding(opened), service.embedding(session))
    report = report.decode()
    assert 'kept away from 1 picture of people who look alike' in report
    assert len(pictures_in(report)) == 3  # none of them
    older = json.loads(content)
    del older['lookalikes']
    assert service.open_case(Session(), json.dumps(older).encode()).case.lookalikes == ()


def damaged(content, **changes):
    return json.dumps(json.loads(content) | changes).encode()


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(mmps_case=2), 'no case'),
        (dict(model=dict(name='other', fingerprint='f')), 'the model other'),
        (dict(right='123'), 'damaged'),
        (dict(lookalikes=[dict(name='x')]), 'damaged'),
        (dict(right=[5]), 'damaged'),
        (dict(right=['5'] * 10_001), 'length <= 10000'),
        (dict(pictures=[dict(name='x')]), 'damaged'),
        (dict(title=None), 'damaged'),
        (dict(model=None), 'damaged'),
    ],
)
def test_files_are_not_believed(service, filled, changes, message):
    content = damaged(pack_case(filled.case, service.gallery), **changes)
    with pytest.raises(ValueError, match=message):
        read_case(content, service.gallery, 10**6)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(embedding=base64.b64encode(bytes(12)).decode()), 'embedding does not fit'),
        (dict(embedding=base64.b64encode(bytes(8)).decode()), 'embedding does not fit'),
        (dict(embedding='%'), 'base64'),
        (dict(bbox=[1, 1, 1, 5]), 'box does not fit'),
        (dict(jpeg=base64.b64encode(b'no picture').decode()), 'not an image'),
    ],
)
def test_pictures_in_files_are_not_believed(service, filled, changes, message):
    content = pack_case(filled.case, service.gallery)
    (picture,) = json.loads(content)['pictures']
    with pytest.raises(ValueError, match=message):
        read_case(damaged(content, pictures=[picture | changes]), service.gallery, 10**6)
    for nonsense in (b'', b'\xff', b'[1]', b'{"mmps_case": 1'):
        with pytest.raises(ValueError, match='no case'):
            read_case(nonsense, service.gallery, 10**6)


def pictures_in(report):
    found = re.findall(r'src="data:image/jpeg;base64,([^"]*)"', report)
    return [cv2.imdecode(np.frombuffer(base64.b64decode(one), np.uint8), 1) for one in found]


def test_nobody_else_is_recognisable_in_a_report(service, filled, sources):
    scene = coloured_scene([(RED, LEFT), (GREEN, RIGHT)])
    scene[::4] = scene[1::4] = 255  # stripes, which are left of whoever is not blurred
    write_image(sources / 'cam1_a.png', scene)
    *_, shown = pictures_in(service.save_case(filled)[1].decode())
    rows = lambda box: shown[box[1] + 8 : box[3] - 8, box[0] + 5 : box[2] - 5]  # noqa: E731
    assert rows(LEFT)[..., 0].std(0).mean() > 60 > 8 > rows(RIGHT)[..., 0].std(0).mean()


def test_a_report_has_everything_in_it(service, filled):
    report = service.save_case(filled)[1].decode()
    hit = filled.hits[0]
    assert '<h1>Red</h1>' in report and 'line &lt;two&gt;' in report
    assert 'camera 1' in report and 'cam1_a.png' in report and '<dd>1.00</dd>' in report
    gallery = service.gallery
    assert gallery.model.fingerprint in report and gallery.fingerprint() in report
    assert 'the gallery is not calibrated' in report
    assert not re.search(r'<script|https?://|<link|url\(', report)
    wrong = filled.hits[-1]
    assert 'Somebody else' in report and str(wrong.camera) in report
    assert len(pictures_in(report)) == 3 and hit.source.endswith('cam1_a.png')


def test_a_report_says_what_similarity_means(service, filled):
    numbers = [0.9, 0.005], [0.8, 0.004], [0.95, 0.006]
    service.gallery.keep_calibration(Calibration([-0.5, 0.9], *numbers, 10**5, 300, 'labels'))
    report = service.save_case(filled)[1].decode()
    assert '1 in 200 looks at least as similar' in report and '100\u202f000 pairs' in report
    two = service.add_to_case(service.choose(filled, 1, add=False), '', '')
    report = service.save_case(two)[1].decode()
    assert 'this case has several' in report and '1 in 200 looks' not in report


def test_who_was_deleted_is_in_no_report(service, filled, sources):
    right = filled.hits[0]
    service.gallery.delete([right.id])
    report = service.save_case(filled)[1].decode()
    assert '0 appearances' in report and '1 mark is of people who are not' in report
    assert len(pictures_in(report)) == 1
    assert right.id not in service.open_case(Session(), service.save_case(filled)[0]).marks.right


def test_a_scene_that_is_gone(service, filled, sources):
    (sources / 'cam1_a.png').unlink()
    assert 'The picture is not there any more' in service.save_case(filled)[1].decode()


def test_appearances_are_in_the_order_of_time(service, searched, sources):
    early = Where(sources=[str(sources / 'cam1_a.png')])
    service.gallery.update(early, time=9.0, camera='door')
    searched = service.search(searched)
    session = replace(searched, marks=Marks())
    inside = [hit for hit in session.hits if hit.time is not None]
    for hit in sorted(inside, key=lambda hit: -hit.time):
        session = session.marked(hit.id, 'right')
    report = service.save_case(service.add_to_case(session, '', ''))[1].decode()
    assert re.findall(r'<h3>(\d)\. camera door', report) == ['1', '2', '3']
    assert report.index('1970-01-01 00:00:09') < report.index('0:00:01.0')
    assert Case().title == ''
