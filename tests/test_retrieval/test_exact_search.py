"""A gallery ranks as the evaluation does."""

import numpy as np
import pytest
from helpers.galleries import model_tag

from mmps.benchmark.search_sets import Size, random_test_set
from mmps.evaluation.functional.search import top_matches
from mmps.retrieval import Gallery, IndexedFrame, exact_search

SIZE = Size(images=40, boxes=120, labelled=90, people=6, queries=15, detections=400, dim=64)


@pytest.mark.parametrize('address', ['memory:', 'people.lance'])
@pytest.mark.parametrize('chunk', [2**20, 64])
def test_rankings_are_those_of_the_metric(tmp_path, monkeypatch, address, chunk):
    annotations, predictions = random_test_set(SIZE, np.random.default_rng(0))
    # many detections with the same embedding, wherever they stand
    predictions.embeddings[100:300] = predictions.embeddings[::2][:200]
    where = 'memory:' if address == 'memory:' else tmp_path / address
    monkeypatch.setattr(exact_search, 'CHUNK_VALUES', chunk)
    gallery = Gallery.open(where, model_tag(SIZE.dim))
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
        annotations, predictions, range(SIZE.queries), 30, score_thr=0, gallery_size='all'
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
