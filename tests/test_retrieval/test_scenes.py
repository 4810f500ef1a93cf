"""Galleries that keep embeddings of scenes, against loops over what was put in."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers.galleries import GalleryOracle, model_tag, random_frame

from mmps.evaluation.functional.similarities import scene_factors
from mmps.retrieval import DamagedGalleryError, Gallery, ModelTag, Where
from mmps.retrieval.rows import SCENE, replaced, rows_of, scenes_in, schema_of

DIM, SCENE_DIM = 8, 6
MODEL = ModelTag('abc', DIM, 'weighing', SCENE_DIM)


def frames_of(rng, count, number=0):
    return [
        random_frame(
            rng,
            f's{index}',
            int(rng.integers(0, 5)),
            DIM,
            frame=number,
            camera=f'cam{index % 2}',
            scene=rng.standard_normal(SCENE_DIM).astype(np.float32),
        )
        for index in range(count)
    ]


class WeighingOracle(GalleryOracle):
    def weighted(self, query, filters, top_k, where=None):
        found = []
        for similarity, source, frame, number in self.search(query, 10**6, where):
            scene = self.frames[source, frame][0].scene
            factor = scene_factors(filters, scene[None]).mean(0)[0]
            found.append((-(similarity * factor), source, frame, number))
        return [(-negative, *rest) for negative, *rest in sorted(found)[:top_k]]


@pytest.mark.parametrize('kind', ['memory', 'lance'])
def test_weighted_searches_follow_what_is_added_replaced_and_deleted(kind, folder):
    rng = np.random.default_rng(0)
    gallery = Gallery.open('memory:' if kind == 'memory' else folder, MODEL)
    oracle = WeighingOracle()

    def check(pictures):
        queries = rng.standard_normal((2, DIM)).astype(np.float32)
        filters = rng.standard_normal((2, pictures, 3 * SCENE_DIM + 2)).astype(np.float32)
        filters[..., SCENE_DIM:] = [4] * SCENE_DIM + [0] * SCENE_DIM + [0.1, 4]  # all cosines fit
        for where in (None, Where(cameras=['cam1'])):
            found = gallery.search(queries, 7, where, scene_filters=filters)
            for query, own, hits in zip(queries, filters, found, strict=True):
                expected = oracle.weighted(query, own, 7, where)
                assert [(hit.source, hit.frame) for hit in hits] == [one[1:3] for one in expected]
                np.testing.assert_allclose(
                    [hit.similarity for hit in hits], [one[0] for one in expected], rtol=1e-5
                )
            one_each = gallery.appearances(queries, 7, where, scene_filters=filters)
            for hits, ones in zip(found, one_each, strict=True):  # nobody is in a tracklet
                assert [one.hit.id for one in ones] == [hit.id for hit in hits]

    def append(frames):
        gallery.append(frames)
        oracle.append(frames)

    append(frames_of(rng, 12))
    check(1)
    append(frames_of(rng, 9, number=1))  # more
    append(frames_of(rng, 5))  # others in the place of some
    check(2)
    gone = gallery.people_in('s7')[:1]
    gallery.delete([hit.id for hit in gone])
    oracle.delete_people([('s7', 0, 0)] if gone else [])
    gallery.delete_source('s2')
    oracle.delete(Where(sources=['s2']))
    gallery.update(Where(sources=['s4']), camera='cam1')  # written again, with its scene
    for key, (frame, people) in oracle.frames.items():
        if key[0] == 's4':
            people = {n: replace(p, camera='cam1') for n, p in people.items()}
            oracle.frames[key] = replace(frame, camera='cam1'), people
    check(1)
    gallery.compact()
    check(1)
    plain = gallery.search(np.eye(DIM, dtype=np.float32)[:1], 3)
    assert [hit.similarity for hit in plain[0]] == [
        one[0] for one in oracle.search(np.eye(DIM)[0], 3)
    ]
    assert gallery.fingerprint() == Gallery.open(folder, MODEL).fingerprint() or kind == 'memory'


def test_other_galleries_stay_as_they_were():
    schema = schema_of(model_tag(DIM))
    assert SCENE not in schema.names
    assert [*json.loads(schema.metadata[b'mmps_gallery'])] == ['fingerprint', 'embed_dim', 'name']
    gallery = Gallery.open('memory:', model_tag(DIM))
    rng = np.random.default_rng(0)
    gallery.append(frames_of(rng, 3))  # of a model whose scenes this gallery does not keep
    query = np.eye(DIM, dtype=np.float32)[:1]
    filters = np.ones((1, 3 * SCENE_DIM + 2), np.float32)
    weighed, plain = gallery.search(query, 5, scene_filters=filters), gallery.search(query, 5)
    assert weighed == plain


def test_what_does_not_fit_is_refused():
    rng = np.random.default_rng(0)
    gallery = Gallery.open('memory:', MODEL)
    frame = frames_of(rng, 1)[0]
    with pytest.raises(ValueError, match='this frame has none'):
        gallery.append([replace(frame, scene=None)])
    with pytest.raises(ValueError, match=r'scene has shape \(3,\), not \(6,\)'):
        gallery.append([replace(frame, scene=np.zeros(3))])
    query = np.eye(DIM, dtype=np.float32)[:1]
    with pytest.raises(ValueError, match=r'scene_filters have shape \(1, 5\), not \(1, 20\)'):
        gallery.search(query, scene_filters=np.zeros((1, 5)))
    with pytest.raises(ValueError, match='scene_filters are not finite'):
        gallery.search(query, scene_filters=np.full((1, 20), np.nan))


def test_a_changed_scene_is_noticed():
    rng = np.random.default_rng(0)
    frames = frames_of(rng, 3)
    rows = rows_of(frames, MODEL)
    own = {frame.source: frame.scene for frame in frames}
    for source, scene in zip(rows.column('source').to_pylist(), scenes_in(rows, 'g'), strict=True):
        np.testing.assert_array_equal(scene, own[source])
    words = rows.column(SCENE).to_pylist()
    flipped = [[words[0][0] ^ 1, *words[0][1:]], *words[1:]]
    swapped = [words[-1], *words[1:]]  # that of another frame
    for changed in (flipped, swapped):
        with pytest.raises(DamagedGalleryError, match='g: embeddings of 1 scenes are not what'):
            scenes_in(replaced(rows, **{SCENE: changed}), 'g')
