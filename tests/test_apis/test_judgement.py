"""What searches say of their hits once a gallery is calibrated."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers.galleries import model_tag
from helpers.hashing_network import HashingNetwork

from mmps.apis import PersonSearcher
from mmps.apis.judgement import Judgement, calibrate_labelled, check_line, describe_chance
from mmps.evaluation.functional import Calibration, FalseMatch, SearchAnnotations, SearchPredictions
from mmps.retrieval import Gallery, ModelMismatchError, Where
from mmps.utils.errors import UserError

SOME = Calibration(
    [-0.5, 0.9], [0.9, 0.0001], [0.8, 0.00005], [0.95, 0.0002], 10**6, 500, 'labelled'
)


def judgement(rates, searched, beyond=0):
    """Of hits with these shares of strangers, the first ones beyond what is known."""
    matches = [FalseMatch(r, r / 2, r * 2, i < beyond) for i, r in enumerate(rates)]
    return Judgement(tuple(matches), searched)


@pytest.mark.parametrize(
    ('rates', 'searched', 'beyond', 'above', 'verdict'),
    [
        ([1e-4, 1e-3, 0.1], 1000, 0, 1, 'found'),  # 0.1, 1 and 100 strangers
        ([1e-3, 1e-3, 1e-3], 100, 0, 3, 'found'),
        ([2e-3, 2e-3], 100, 0, 2, 'found'),  # 0.2 strangers for one hit are too many, not for two
        ([2e-3], 100, 0, 0, 'not here'),
        ([2e-3], 100, 1, 1, 'unclear'),
        ([2e-3, 2e-3, 3e-3, 0.1], 1000, 2, 2, 'unclear'),
        ([1e-3, 1e-3, 2e-3], 200, 2, 2, 'found'),  # what is told goes before what is not
        ([], 100, 0, 0, 'not here'),
    ],
)
def test_the_line(rates, searched, beyond, above, verdict):
    judged = judgement(rates, searched, beyond)
    assert (judged.above, judged.verdict) == (above, verdict)
    assert judged.expected == pytest.approx([searched * rate for rate in rates])


def test_a_search_for_somebody_absent_is_an_alarm_in_a_tenth_at_most():
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(2000):
        rates = np.sort(rng.random(200))[:20]  # shares of strangers are even where nobody is right
        alarms += judgement(rates, 200).above > 0
    assert 0.06 < alarms / 2000 < 0.115


def test_hits_of_which_only_a_lower_bound_is_known_are_below_the_line():
    known, bound = FalseMatch(1e-4, 0, 1), FalseMatch(1e-3, 0, 1, at_least=True)
    judged = Judgement((known, *[bound] * 9), 500)
    assert (judged.above, judged.verdict) == (1, 'found')  # 0.5 strangers among 10 or more
    assert Judgement((bound,), 5000).verdict == 'not here'
    unclear = Judgement((bound,), 50)
    assert (unclear.above, unclear.verdict) == (0, 'unclear')
    assert unclear.describe() == (
        'Cannot tell: of 50 people searched, 0.05 strangers would look as similar as the first hit '
        'at least; mark more hits.'
    )


@pytest.mark.parametrize(
    ('rate', 'at_most', 'text'),
    [
        (1 / 212, False, '1 in 210'),
        (1 / 15_972, True, '< 1 in 16,000'),
        (0.34, False, '1 in 3'),
        (0.7, False, 'over 1 in 2'),
    ],
)
def test_chances_in_words(rate, at_most, text):
    assert describe_chance(FalseMatch(rate, 0, 1, at_most)) == text
    assert describe_chance(FalseMatch(0.0021, 0, 1, at_least=True)) == '> 1 in 480'


def test_sentences():
    assert judgement([1e-4, 0.1], 1000).describe() == (
        '1 hit above the line, below it probably somebody else: of 1,000 people searched, 0.1 '
        'strangers would look as similar as the first hit.'
    )
    assert judgement([1e-3, 2e-3], 1000).describe() == (
        'Probably not here: of 1,000 people searched, 1 stranger would look as similar as the '
        'first hit.'
    )
    assert 'up to 25 strangers may be as well' in judgement([2.5e-4], 100_000, beyond=1).describe()
    assert 'fewer than 0.01 strangers' in judgement([1e-7], 100, beyond=1).describe()
    assert 'fewer than 0.05 strangers' in judgement([5e-4], 100, beyond=1).describe()
    assert judgement([], 0).describe() == 'Nobody among 0 people searched.'


@pytest.fixture
def searcher():
    return PersonSearcher.of_network(HashingNetwork())


@pytest.fixture
def scene():
    return np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)


@pytest.fixture
def gallery(searcher, tmp_path):
    from mmps.visualization import write_image

    for number in range(40):
        image = np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)
        write_image(tmp_path / 'scenes' / f'c{number % 2}_{number:02d}.png', image)
    address = tmp_path / 'people.lance'
    searcher.index([tmp_path / 'scenes'], address, name_pattern=r'c(?P<camera>\d)_', progress=False)
    return Gallery.open(address, searcher.tag)


def test_nothing_changes_without_a_calibration(searcher, gallery, scene):
    result = searcher.search(scene, (1, 2, 30, 40), gallery=gallery)
    assert result.judgement is None
    content = json.loads(result.to_json())
    assert set(content) == {'query', 'where', 'model', 'hits', 'appearances'}
    assert 'false_match' not in content['hits'][0]
    assert 'false_match' not in result.to_pandas().columns


def test_hits_have_their_chance(searcher, gallery, scene):
    before = searcher.search(scene, (1, 2, 30, 40), gallery=gallery)
    gallery.keep_calibration(SOME)
    where = Where(cameras=['1'])
    for filtered in (None, where):
        result = searcher.search(scene, (1, 2, 30, 40), gallery=gallery, where=filtered)
        content = json.loads(result.to_json())
        people = gallery.count(filtered)
        assert content['judgement'] == dict(
            searched=people, above_line=result.judgement.above, verdict=result.judgement.verdict
        )
        for hit, entry in zip(result, content['hits'], strict=True):
            match = SOME.false_match(hit.similarity)
            assert entry['false_match'] == dict(
                rate=match.rate,
                low=match.low,
                high=match.high,
                at_most=match.at_most,
                at_least=match.at_least,
            )
            assert entry['expected_strangers'] == pytest.approx(people * match.rate)
    everybody = searcher.search(scene, (1, 2, 30, 40), gallery=gallery)
    assert [h.id for h in everybody] == [h.id for h in before]
    table = everybody.to_pandas()
    assert table['false_match'].tolist() == [m.rate for m in everybody.judgement.matches]
    assert len(table) == len(before.to_pandas())
    sheets = [np.asarray(result.plot()) for result in (before, everybody)]
    assert sheets[0].shape == sheets[1].shape and (sheets[0] != sheets[1]).any()


def test_calibrate_keeps_what_frames_say(searcher, gallery, tmp_path):
    # the boxes of this network overlap: with others they are strangers in sight of each other
    rng = np.random.default_rng(0)
    from mmps.retrieval import IndexedFrame

    def frame(number):
        vectors = rng.standard_normal((3, 8)).astype(np.float32)
        boxes = np.float32([[0, 0, 9, 20], [20, 0, 29, 20], [40, 0, 49, 20]])
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return IndexedFrame(f'{number}.png', (64, 48), boxes, np.ones(3, np.float32), vectors)

    gallery.append([frame(number) for number in range(20)])
    found = searcher.calibrate(gallery)
    again = Gallery.open(tmp_path / 'people.lance').calibration
    np.testing.assert_array_equal(again.rates, found.rates)
    assert found.source == 'same frame'
    other = PersonSearcher.of_network(HashingNetwork('other'))
    with pytest.raises(ModelMismatchError):
        other.calibrate(gallery)


def test_a_calibration_is_not_lost_silently(searcher, gallery, monkeypatch):
    monkeypatch.setattr(Gallery, 'keep_calibration', lambda self, calibration: False)
    monkeypatch.setattr(Gallery, 'calibrate', lambda self, marks: SOME)
    monkeypatch.setattr(Gallery, 'open', lambda *_, **__: gallery)
    with pytest.raises(UserError, match='s3://bucket/p.lance has no folder'):
        searcher.calibrate('s3://bucket/p.lance')
    assert searcher.calibrate(gallery) is SOME  # the caller has it in hand


def labelled(people=8, pictures=4, dim=8):
    """A test set of single people, and predictions at their boxes."""
    rng = np.random.default_rng(0)
    count = people * pictures
    ids = np.repeat(np.arange(people), pictures)
    embeddings = rng.standard_normal((people, dim))[ids] + 0.2 * rng.standard_normal((count, dim))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    boxes = np.tile(np.float32([[0, 0, 10, 20]]), (count, 1))
    annotations = SearchAnnotations(
        image_names=tuple(f'{i}.jpg' for i in range(count)),
        cameras=np.zeros(count, int),
        box_splits=np.arange(count + 1),
        bboxes=boxes,
        person_ids=ids,
        query_images=[0],
        query_bboxes=boxes[:1],
        query_person_ids=ids[:1],
    )
    predictions = SearchPredictions(
        annotations.image_names, np.arange(count + 1), boxes, np.ones(count), embeddings,
        embeddings[:1],
    )  # fmt: skip
    return annotations, predictions


def test_a_labelled_data_set(searcher, gallery):
    annotations, predictions = labelled()
    found = searcher.calibrate(gallery, labelled=(annotations, predictions))
    values = predictions.embeddings @ predictions.embeddings.T
    differ = annotations.person_ids[:, None] != annotations.person_ids
    apart = values[np.triu(differ)]
    assert found.pairs == len(apart) and found.people == 8
    level = found.similarities[-1]
    assert found.floor == pytest.approx(np.mean(apart >= level - 1e-6))
    assert found.found_at(level) > found.floor
    assert gallery.calibration.source == 'labelled'


def test_what_does_not_fit(searcher, gallery):
    case = labelled()
    with pytest.raises(UserError, match='embeddings of 8 values, those of model abc have 16'):
        calibrate_labelled(*case, model_tag(16))
    with pytest.raises(UserError, match='the labelled data set: 0 people'):
        calibrate_labelled(case[0], replace(case[1], scores=np.zeros(32)))
    with pytest.raises(ValueError, match='not both'):
        searcher.calibrate(gallery, marks=['hits.json'], labelled=case)


def test_the_line_is_checked_on_people_held_back():
    from mmps.evaluation.functional.calibration import labelled_pictures

    easy, hard = (labelled_pictures(*labelled(240, 3, dim)) for dim in (32, 2))
    shares = check_line(easy, halvings=3)
    assert shares['there_found'] > 0.9 > shares['there_denied'] + 0.8
    assert shares['absent_found'] < 0.25 and shares['absent_denied'] > 0.5
    assert shares['strangers_above'] < 0.25 and shares['strangers_below'] > 0.8
    assert check_line(easy, halvings=3) == shares
    # in a plane everybody has a double
    assert check_line(hard, halvings=3)['there_found'] < 0.5
