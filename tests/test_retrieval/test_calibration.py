"""Strangers counted in a gallery, kept beside it, and refused for another model."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers.galleries import model_tag

from mmps.evaluation.functional import Calibration
from mmps.retrieval import (
    Gallery,
    GalleryError,
    IndexedFrame,
    ModelMismatchError,
    load_calibration,
    save_calibration,
)
from mmps.retrieval import (
    calibration as module,
)

DIM = 16
SOME = Calibration([0.1, 0.5], [0.5, 0.01], [0.4, 0.005], [0.6, 0.02], 1000, 50, 'same frame')


def crowd(rng, frames=30, people=4, camera=None, video=False):
    """Frames of people who stand apart, each of them somebody new."""
    embeddings = rng.standard_normal((frames, people, DIM)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=2, keepdims=True)
    boxes = np.float32([[20 * i, 0, 20 * i + 15, 40] for i in range(people)])
    return [
        IndexedFrame(
            'v.mp4' if video else f'scenes/{number:03d}.jpg',
            (200, 50),
            boxes,
            np.ones(people, np.float32),
            embeddings[number],
            frame=number if video else 0,
            offset=float(number) if video else None,
            camera=camera,
        )
        for number in range(frames)
    ]


@pytest.fixture
def gallery(tmp_path):
    gallery = Gallery.open(tmp_path / 'people.lance', model_tag(DIM))
    gallery.append(crowd(np.random.default_rng(0)))
    return gallery


def test_people_in_one_frame_are_strangers(gallery):
    found = gallery.calibrate()
    frames = crowd(np.random.default_rng(0))
    similarities = [
        frame.embeddings[a] @ frame.embeddings[b]
        for frame in frames
        for b in range(4)
        for a in range(b)
    ]
    assert found.pairs == len(similarities) == 180 and found.source == 'same frame'
    for level, rate in zip(found.similarities, found.rates, strict=True):
        assert rate == pytest.approx(np.mean(np.array(similarities) >= level - 1e-6), abs=1 / 180)
    assert gallery.calibration is None  # nothing is kept yet


def test_boxes_that_overlap_and_frames_of_one_person_do_not_count():
    rng = np.random.default_rng(1)
    gallery = Gallery.open('memory:', model_tag(DIM))
    double = crowd(rng, frames=20)
    double = [
        replace(f, bboxes=np.concatenate([f.bboxes[:3], f.bboxes[:1] + np.float32(2)]))
        for f in double
    ]
    gallery.append(double)
    gallery.append([replace(f, source=f'one{f.source}') for f in crowd(rng, 9, people=1)])
    assert gallery.calibrate().pairs == 20 * 5


def test_who_stays_in_view_is_one_person():
    rng = np.random.default_rng(2)
    still = crowd(rng, frames=1, people=6)[0]
    frames = [replace(still, source='v.mp4', frame=n, offset=float(n)) for n in range(12)]
    gallery = Gallery.open('memory:', model_tag(DIM))
    gallery.append(frames)
    # the twelve frames show the same fifteen pairs of six people
    assert gallery.calibrate().people == 6
    assert gallery.calibrate().floor >= 10 / 15


def test_a_large_gallery_is_thinned_by_whole_frames(gallery, monkeypatch):
    monkeypatch.setattr(module, 'MOST_PEOPLE', 61)
    assert gallery.calibrate().pairs == 15 * 6


@pytest.mark.parametrize('frames', [[], crowd(np.random.default_rng(0), 5, people=1)])
def test_nobody_to_tell_apart(frames):
    gallery = Gallery.open('memory:', model_tag(DIM))
    gallery.append(frames)
    with pytest.raises(GalleryError, match='memory:: no frame shows two people apart'):
        gallery.calibrate()


def test_it_is_kept_beside_a_gallery_on_disk(gallery, tmp_path):
    assert gallery.keep_calibration(SOME)
    assert Gallery.open(tmp_path / 'people.lance').calibration.rates.tolist() == [0.5, 0.01]
    gallery.append([replace(f, source=f'more/{f.source}') for f in crowd(np.random.default_rng(3))])
    gallery.compact()
    reopened = Gallery.open(tmp_path / 'people.lance')
    assert reopened.calibration.people == 50 and len(reopened) == 240
    reopened.drop()
    assert not (tmp_path / 'people.lance').exists()


def test_a_gallery_in_memory_has_its_own():
    gallery, other = (Gallery.open('memory:', model_tag(DIM)) for _ in range(2))
    assert not gallery.keep_calibration(SOME)
    assert gallery.calibration is SOME and other.calibration is None


def test_another_model_is_refused(gallery, tmp_path):
    path = tmp_path / 'c.json'
    save_calibration(path, SOME, model_tag(DIM, 'other'))
    with pytest.raises(ModelMismatchError, match=r'c\.json: .*made by model other.*, but this is'):
        load_calibration(path, gallery.model)
    with pytest.raises(ModelMismatchError, match='made by model other'):
        gallery.use_calibration(SOME, model_tag(DIM, 'other'))
    path.rename(tmp_path / 'people.lance' / module.CALIBRATION)
    with pytest.raises(ModelMismatchError, match='calibrate again'):
        _ = gallery.calibration


def test_what_is_written_is_read(tmp_path):
    known = replace(SOME, found=[0.9, 0.4])
    save_calibration(tmp_path / 'c.json', known, model_tag(DIM))
    read = load_calibration(tmp_path / 'c.json', model_tag(DIM))
    for name, value in vars(known).items():
        np.testing.assert_array_equal(getattr(read, name), value)
    assert [p.name for p in tmp_path.iterdir()] == ['c.json']


@pytest.mark.parametrize(
    'content',
    ['', '{}', '[1]', '{"model": 3}', '{"model": {"fingerprint": "abc", "embed_dim": 16}}', '\xff'],
)
def test_damage_is_named(tmp_path, content):
    path = tmp_path / 'c.json'
    path.write_bytes(content.encode('latin-1'))
    with pytest.raises(GalleryError, match=r'c\.json: no calibration, or damaged .*again'):
        load_calibration(path, model_tag(DIM))


def test_values_that_cannot_be_are_damage(tmp_path):
    path = tmp_path / 'c.json'
    save_calibration(path, SOME, model_tag(DIM))
    content = json.loads(path.read_text())
    for key, value in (('rates', [0.1, 0.5]), ('low', ['a', 'b']), ('rates', None)):
        path.write_text(json.dumps(content | {key: value}))
        with pytest.raises(GalleryError, match='damaged'):
            load_calibration(path, model_tag(DIM))
    with pytest.raises(GalleryError, match='there is no such calibration'):
        load_calibration(tmp_path / 'no.json', model_tag(DIM))


def marked(number, right=1, wrong=10, unmarked=5):
    """What the page saves of a search: hits in order, the first ones marked."""
    rng = np.random.default_rng(number)
    values = np.sort(rng.random(right + wrong + unmarked))[::-1]
    hits = [dict(id=i, similarity=float(value)) for i, value in enumerate(values)]
    ids = list(range(right + wrong))
    query = dict(right=ids[:right], wrong=ids[right:])
    content = dict(
        query=query,
        hits=hits,
        searched=100 + right,
        refined=False,
        model=model_tag(DIM).as_dict(),
    )
    return content


@pytest.fixture
def save(tmp_path):
    def write(contents):
        files = []
        for number, content in enumerate(contents):
            files.append(tmp_path / f'hits{number}.json')
            files[-1].write_text(json.dumps(content))
        return files

    return write


def test_marks_of_users(gallery, save):
    contents = [marked(number) for number in range(6)]
    contents[5]['query']['wrong'].remove(8)  # what is below is not known
    found = gallery.calibrate(save(contents))
    assert (found.source, found.people, found.pairs) == ('marks', 6, 600)
    known = [hits[:11] for hits in (c['hits'] for c in contents)]
    known[5] = known[5][:8]
    lowest = max(hits[-1]['similarity'] for hits in known)
    assert found.similarities[0] >= lowest
    for similarity, rate in zip(found.similarities, found.rates, strict=True):
        wrong = sum(hit['similarity'] >= similarity for hits in known for hit in hits[1:])
        assert rate == wrong / 600


def test_marks_that_cannot_be_used(gallery, save, tmp_path):
    good = [marked(number) for number in range(6)]
    with pytest.raises(GalleryError, match='given twice'):
        gallery.calibrate(save(good) * 2)
    with pytest.raises(GalleryError, match='marks of 4 searches, but of 5'):
        gallery.calibrate(save(good[:4]))
    refined = [*good[:5], good[5] | dict(refined=True)]
    with pytest.raises(GalleryError, match=r'hits5\.json: .* several pictures or by marks'):
        gallery.calibrate(save(refined))
    with pytest.raises(
        ModelMismatchError, match=r'hits5\.json: this search was made by .*, but this is model abc'
    ):
        gallery.calibrate(save([*good[:5], good[5] | dict(model=model_tag(DIM, 'x').as_dict())]))
    with pytest.raises(GalleryError, match=r'hits5\.json: the first hit has no mark'):
        gallery.calibrate(save([*good[:5], marked(5, right=0, wrong=0)]))
    del good[5]['searched']
    with pytest.raises(GalleryError, match=r'hits5\.json: not a hits\.json with marks'):
        gallery.calibrate(save(good))
    with pytest.raises(GalleryError, match='there is no such file'):
        gallery.calibrate([tmp_path / 'no.json'])
