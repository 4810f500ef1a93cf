import json
from dataclasses import replace

import numpy as np
import pandas
import pytest
from helpers.hashing_network import HashingNetwork

from mmps.apis import AmbiguousQueryError, PersonSearcher
from mmps.apis.results import Query
from mmps.retrieval import Gallery, IndexedFrame, ModelMismatchError, Where, refined_query
from mmps.sources import read_image
from mmps.visualization import read_image as read_picture
from mmps.visualization import write_image

SIZE = (48, 64)


def scene(number, height=SIZE[0], width=SIZE[1]):
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def searcher(hashing):
    return PersonSearcher.of_network(hashing, batch_size=4)


@pytest.fixture
def with_people(searcher):
    """The first scene with so many people."""

    def find(count):
        return next(s for s in map(scene, range(100)) if len(searcher.detect(s)) == count)

    return find


@pytest.fixture
def folder(tmp_path):
    """Twelve scenes in two sizes."""
    for number in range(12):
        image = scene(number, height=48 if number % 3 else 40)
        write_image(tmp_path / 'scenes' / f'c{number % 2}_{number:02d}.png', image)
    return tmp_path / 'scenes'


def test_detect_gives_what_the_network_finds(searcher, hashing, folder):
    paths = sorted(folder.iterdir())
    found = list(searcher.detect(paths))
    for path, people in zip(paths, found, strict=True):
        (expected,) = hashing([read_image(path)])
        np.testing.assert_array_equal(people.bboxes, expected.bboxes)
        np.testing.assert_array_equal(people.embeddings, expected.embeddings)
        assert people.image == str(path)
    assert [p.bboxes.tolist() for p in searcher.detect(iter(map(read_image, paths)))] == [
        p.bboxes.tolist() for p in found
    ]


def test_detect_streams(searcher):
    taken = []

    def frames():
        for number in range(10**6):
            taken.append(number)
            yield scene(number % 20)

    stream = searcher.detect(frames())
    for _ in range(30):
        next(stream)
    assert len(taken) <= 30 + 4


def test_scores_below_the_threshold_are_left_out(hashing):
    image = next(s for s in map(scene, range(100)) if len(hashing([s])[0]) == 3)
    (everybody,) = hashing([image])
    threshold = float(everybody.scores[1])
    found = PersonSearcher.of_network(hashing, score_thr=threshold).detect(image)
    np.testing.assert_array_equal(found.scores, everybody.scores[:2])


@pytest.mark.parametrize(
    ('image', 'problem'),
    [
        (np.zeros((4, 4), np.uint8), r'\(h, w, 3\) of uint8'),
        (np.zeros((4, 4, 3)), 'not float64'),
        (np.zeros((4, 4, 4), np.uint8), r'not \(4, 4, 4\)'),
        (np.zeros((0, 4, 3), np.uint8), r'not \(0, 4, 3\)'),
        (np.zeros((2, 400, 3), np.uint8), '400 x 2 pixels are too thin'),
    ],
)
def test_what_is_no_image_is_refused(searcher, image, problem):
    with pytest.raises(ValueError, match=problem):
        searcher.detect(image)


def test_query_of_one_person(searcher, with_people):
    image = with_people(1)
    query = searcher.query(image)
    people = searcher.detect(image)
    np.testing.assert_array_equal(query.bbox, people.bboxes[0])
    np.testing.assert_array_equal(query.embedding, people.embeddings[0])


def test_query_of_several_lists_their_boxes(searcher, with_people, tmp_path):
    write_image(tmp_path / 'crowd.png', with_people(3))
    with pytest.raises(AmbiguousQueryError) as caught:
        searcher.query(tmp_path / 'crowd.png')
    people = caught.value.people
    message = str(caught.value)
    assert f'3 people are in {tmp_path / "crowd.png"}' in message
    for number, bbox, score in zip('123', people.bboxes, people.scores, strict=True):
        assert f'{number}: {",".join(f"{v:.0f}" for v in bbox)} (score {score:.2f})' in message


def test_query_of_nobody(searcher, with_people):
    with pytest.raises(AmbiguousQueryError, match='nobody was found in the query image'):
        searcher.query(with_people(0))


def test_a_given_box_is_embedded_without_looking_for_people(searcher, hashing):
    image = scene(1)
    query = searcher.query(image, (10, 5, 500, 40))
    np.testing.assert_array_equal(query.bbox, [10, 5, 64, 40])
    (people,) = hashing([image], [query.bbox[None]])
    np.testing.assert_array_equal(query.embedding, people.embeddings[0])


@pytest.mark.parametrize(
    ('box', 'problem'),
    [
        ((1, 2, 3), 'four numbers'),
        ((1, 2, float('nan'), 4), 'four numbers'),
        ((30, 10, 20, 40), 'empty or outside'),
        ((70, 10, 90, 40), 'empty or outside the image of 64 x 48'),
    ],
)
def test_impossible_boxes(searcher, box, problem):
    with pytest.raises(ValueError, match=problem):
        searcher.query(scene(0), box)


def test_search_finds_the_person_in_the_gallery(searcher, folder):
    report = searcher.index(folder, 'memory:', progress=False)
    gallery = Gallery.open('memory:', searcher.tag)
    searcher.index(folder, gallery, name_pattern=r'c(?P<camera>\d)_', progress=False)
    assert report.people == len(gallery) > 5
    path = next(p for p in sorted(folder.iterdir()) if len(searcher.detect(p)) == 1)
    result = searcher.search(path, gallery=gallery, top_k=5)
    assert (result[0].source, result[0].camera) == (str(path), path.name[1])
    assert result[0].similarity == pytest.approx(1)
    assert [hit.similarity for hit in result] == sorted(h.similarity for h in result)[::-1]
    other = str(1 - int(path.name[1]))
    filtered = searcher.search(path, where=Where(cameras=[other]), gallery=gallery)
    assert len(filtered) and {hit.camera for hit in filtered} == {other}


def test_a_gallery_of_another_model_is_refused(searcher, folder):
    other = PersonSearcher.of_network(HashingNetwork('other'))
    gallery = Gallery.open('memory:', other.tag)
    with pytest.raises(ModelMismatchError, match='made by other .*, but this is hashing'):
        searcher.index(folder, gallery, progress=False)
    with pytest.raises(ModelMismatchError):
        searcher.search(scene(0), (0, 0, 9, 9), gallery=gallery)


@pytest.fixture
def result(searcher, folder):
    gallery = Gallery.open('memory:', searcher.tag)
    options = dict(name_pattern=r'c(?P<camera>\d)_(?P<number>\d+)', progress=False)
    searcher.index(folder, gallery, metadata=dict(floor=2), **options)
    path = next(p for p in sorted(folder.iterdir()) if len(searcher.detect(p)) == 1)
    where = Where(metadata=dict(floor=2))
    return searcher.search(path, gallery=gallery, top_k=9, where=where)


def test_result_as_json_and_table(result, tmp_path):
    content = json.loads(result.to_json(tmp_path / 'hits.json'))
    assert content == json.loads((tmp_path / 'hits.json').read_text())
    assert content['query'] == dict(image=result.query.image, bbox=result.query.bbox.tolist())
    assert [hit['id'] for hit in content['hits']] == [str(hit.id) for hit in result]
    assert content['where']['metadata'] == dict(floor=2) and content['where']['since'] is None
    assert content['hits'][0]['metadata'] == {**result[0].metadata}
    table = result.to_pandas()
    assert table['rank'].tolist() == list(range(1, 10))
    assert table['source'].tolist() == [hit.source for hit in result]
    assert table['x2'].tolist() == [hit.bbox[2] for hit in result]
    assert (table['floor'] == 2).all()
    assert table['time'].isna().all()
    assert table['offset'].isna().all() and table['offset'].dtype == np.float64
    assert repr(result) == f'<SearchResult: 9 hits, the best {result[0].similarity:.3f}>'


def test_an_appearance_as_json_table_and_csv(searcher, tmp_path):
    gallery, looks = Gallery.open('memory:', searcher.tag), np.eye(8, dtype=np.float32)[:1]
    what = dict(bboxes=np.ones((1, 4)), scores=np.ones(1), embeddings=looks)
    frames = [
        IndexedFrame('v.mp4', (9, 9), frame=f * 25, offset=float(f), time=1000.0 + f, **what)
        for f in range(3)
    ]
    frames[1] = replace(frames[1], colours=[',upper red,upper white,lower blue,'])
    gallery.append(frames)
    gallery.group()
    query = Query(scene(0), np.ones(4), looks[0])
    result = searcher.search(query, gallery=gallery)
    (one,) = result.appearances
    assert (len(result), result[0], one.frames) == (1, one.hit, 3)
    (written,) = json.loads(result.to_json())['appearances']
    assert (written['first'], written['last'], written['frames']) == (1000.0, 1002.0, 3)
    assert (written['start'], written['end'], written['hit']) == (0.0, 2.0, str(one.hit.id))
    result.to_csv(tmp_path / 'hits.csv')
    table = pandas.read_csv(tmp_path / 'hits.csv')
    assert table[['start', 'end', 'frames']].to_numpy().tolist() == [[0, 2, 3]]
    assert table['last'][0] == '1970-01-01 00:16:42+00:00'
    frames = searcher.search(query, gallery=gallery, per_frame=True)
    assert len(frames) == 3 and not frames.appearances
    assert 'appearances' not in json.loads(frames.to_json())
    red = searcher.search(query, where=Where(upper=['red', 'green']), gallery=gallery)
    assert [(one.frames, one.hit.frame) for one in red.appearances] == [(3, 25)]  # by one frame
    written = json.loads(red.to_json())
    assert (written['where']['upper'], written['where']['lower']) == (['red', 'green'], None)
    assert (written['hits'][0]['upper'], written['hits'][0]['lower']) == (
        ['red', 'white'],
        ['blue'],
    )
    assert red.to_pandas()[['upper', 'lower']].to_numpy().tolist() == [['red white', 'blue']]


def test_times_in_the_table(searcher, folder):
    gallery = Gallery.open('memory:', searcher.tag)
    searcher.index(folder, gallery, file_times=True, progress=False)
    path = next(p for p in sorted(folder.iterdir()) if len(searcher.detect(p)) == 1)
    table = searcher.search(path, gallery=gallery, top_k=1).to_pandas()
    assert table['time'][0].timestamp() == pytest.approx(path.stat().st_mtime, abs=1e-3)


def test_pictures(result, tmp_path):
    picture = result.plot(tmp_path / 'sheet.png')
    assert picture.size == read_picture(tmp_path / 'sheet.png').shape[1::-1]
    files = result.save(tmp_path / 'show')
    assert [f.name for f in files] == ['ranking.png', *(f'hit_0{i}.jpg' for i in range(1, 10))]
    assert all(read_picture(file).size for file in files)


def test_a_second_search_removes_the_pictures_of_the_first(result, tmp_path):
    kept = [tmp_path / 'hit_list.jpg', tmp_path / 'notes.txt']
    for path in [*kept, tmp_path / 'hit_77.jpg']:
        path.write_bytes(b'')
    files = result.save(tmp_path)
    assert sorted(tmp_path.glob('hit_*')) == sorted([*files[1:], kept[0]]) and kept[1].exists()


def test_pictures_of_scenes_that_are_gone(result, tmp_path, folder):
    gone = result[3].source
    for path in folder.iterdir():
        if str(path) == gone:
            path.unlink()
    assert result.scene(3) is None
    missing = [i for i in range(9) if result[i].source == gone]
    assert len(result.save(tmp_path)) == 10 - len(missing)
    write_image(result[0].source, scene(0, 60, 60))
    assert result.scene(0) is None  # another picture has taken its place


def test_blurred_pictures_keep_the_match_only(result):
    sharp, blurred = result.scene(0), result.scene(0, blur_others=True)
    x1, y1, x2, y2 = np.round(result[0].bbox).astype(int)
    inner = (slice(y1 + 3, y2 - 3), slice(x1 + 3, x2 - 3))
    np.testing.assert_array_equal(sharp[inner], blurred[inner])
    outside = np.ones(sharp.shape[:2], bool)
    outside[max(0, y1 - 20) : y2 + 2, max(0, x1 - 2) : x2 + 40] = False
    assert sharp[outside].std() > 60  # noise
    assert blurred[outside].std() < 30


def test_people_as_json_table_and_picture(searcher, with_people, tmp_path):
    people = searcher.detect(with_people(3))
    content = json.loads(people.to_json(tmp_path / 'p.json'))
    assert content[1]['bbox'] == people.bboxes[1].tolist()
    assert content[1]['embedding'] == people.embeddings[1].tolist()
    table = people.to_pandas()
    assert table[['x1', 'y1', 'x2', 'y2']].to_numpy().tolist() == people.bboxes.tolist()
    assert people.plot(tmp_path / 'p.png').size == (64, 48)
    assert people[-1].scores.tolist() == [people.scores[2]]
    assert len(people[people.scores > people.scores[1]]) == 1
    (streamed,) = searcher.detect([with_people(3)])
    with pytest.raises(ValueError, match='the image was not kept'):
        streamed.plot()
    assert streamed.plot(image=with_people(3)).size == (64, 48)
    with pytest.raises(IndexError):
        people[3]


@pytest.fixture
def filled(searcher, folder):
    gallery = Gallery.open('memory:', searcher.tag)
    searcher.index(folder, gallery, progress=False)
    return gallery


def queries_of(searcher, count):
    """People of scenes that are not in the gallery."""
    scenes = map(scene, range(50, 50 + count))
    return [searcher.query(image, (5, 6, 30, 40)) for image in scenes]


def test_several_pictures_of_one_person_and_others_of_another(searcher, filled):
    first, second, other = queries_of(searcher, 3)
    result = searcher.search([first, second], gallery=filled, top_k=7, wrong=[other])
    wanted = refined_query(
        np.stack([first.embedding, second.embedding]), wrong=other.embedding[None]
    )
    (hits,) = filled.search(wanted[None], 7)
    assert [hit.id for hit in result] == [hit.id for hit in hits]
    assert [hit.similarity for hit in result] == [hit.similarity for hit in hits]
    assert result.query.bbox.tolist() == first.bbox.tolist()
    assert [h.id for h in searcher.search([first], gallery=filled)] == [
        h.id for h in searcher.search(first, gallery=filled)
    ]
    with pytest.raises(ValueError, match='a box is of one image'):
        searcher.search([first, second], (0, 0, 9, 9), gallery=filled)
    with pytest.raises(ValueError, match='cancel out'):
        searcher.search(
            [first], gallery=filled, wrong=[replace(first, embedding=first.embedding / 0.15)]
        )


def test_the_scene_of_the_query_can_be_left_out(searcher, filled, folder):
    path = next(p for p in sorted(folder.iterdir()) if len(searcher.detect(p)) == 1)
    everybody = searcher.search(path, gallery=filled, top_k=1000)
    assert everybody[0].source == str(path)
    others = searcher.search(path, gallery=filled, top_k=5, other_scenes=True)
    assert [hit.id for hit in others] == [h.id for h in everybody if h.source != str(path)][:5]


def test_least_similarity(searcher, filled):
    (query,) = queries_of(searcher, 1)
    hits = searcher.search(query, gallery=filled, top_k=9)
    least = hits[4].similarity
    found = searcher.search(query, gallery=filled, top_k=9, min_similarity=least)
    assert [hit.id for hit in found] == [hit.id for hit in hits if hit.similarity >= least]
    assert not len(searcher.search(query, gallery=filled, min_similarity=2.0))
