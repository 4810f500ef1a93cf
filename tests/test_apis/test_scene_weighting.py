"""Galleries of GFN: what a search finds is what the evaluation finds in the same predictions."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.prw_files import write_tiny_prw
from helpers.published_weights import narrow_config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope

from mmps.apis import PersonSearcher
from mmps.evaluation.functional.search import top_matches
from mmps.evaluation.metrics import assemble_predictions, collect_image
from mmps.registry import DATASETS
from mmps.retrieval import Gallery, GalleryError, IndexedFrame
from mmps.utils.checkpoint import save_untrained


@pytest.fixture(scope='module')
def gfn(tmp_path_factory):
    """A narrow GFN, the gallery of its test set, and what the evaluation is given there."""
    init_default_scope('mmps')
    folder = tmp_path_factory.mktemp('gfn')
    root = write_tiny_prw(folder / 'prw', train_frames=2, test_frames=5)
    config = narrow_config('gfn_r50_prw', root)
    save_untrained(config.model, folder / 'gfn.pth', seed=3)
    searcher = PersonSearcher(config, folder / 'gfn.pth', device='cpu', score_thr=0.0)
    dataset = DATASETS.build(config.test_dataloader.dataset)
    annotations = dataset.search_annotations
    files = [root / 'frames' / name for name in annotations.image_names]
    norm = searcher.network.model.scene_head.norm
    # As if trained: untrained, all scenes are about the same.
    scenes = np.stack([people.scene for people in searcher.detect(files)])
    norm.running_mean.copy_(torch.from_numpy(scenes.mean(0) / 2))
    norm.running_var.fill_(1e-4)
    with torch.no_grad():
        samples = [
            searcher.network.model.test_step(pseudo_collate([entry]))[0] for entry in dataset
        ]
    predictions = assemble_predictions(annotations, [collect_image(s.to_dict()) for s in samples])
    searcher.index(files, folder / 'people.lance', progress=False)
    return searcher, Gallery.open(folder / 'people.lance'), annotations, predictions, files


@pytest.mark.parametrize('weighted', [True, False])
def test_a_search_ranks_as_the_evaluation_does(gfn, weighted):
    searcher, gallery, annotations, predictions, files = gfn
    assert np.ptp(predictions.scene_factors) > 0.05
    evaluated = predictions if weighted else replace(predictions, scene_factors=None)
    queries = range(annotations.num_queries)
    expected = top_matches(annotations, evaluated, queries, 100, score_thr=0.0)
    for number, matches in enumerate(expected):
        found = searcher.search(
            files[annotations.query_images[number]],
            annotations.query_bboxes[number],
            top_k=100,
            gallery=gallery,
            per_frame=True,
            other_scenes=True,
            scene_weighting=weighted,
        )
        assert [hit.source for hit in found] == [str(files[one.image]) for one in matches]
        similarities = [one.similarity for one in matches]
        np.testing.assert_allclose([hit.similarity for hit in found], similarities, atol=1e-6)
        np.testing.assert_allclose(
            [hit.bbox for hit in found], [one.bbox for one in matches], atol=1e-3
        )


def test_several_pictures_weigh_by_the_mean_of_their_factors(gfn):
    searcher, gallery, annotations, predictions, files = gfn
    pictures = [
        searcher.query(files[annotations.query_images[n]], annotations.query_bboxes[n])
        for n in (0, 1)
    ]
    found = searcher.search(pictures, gallery=gallery, top_k=100, per_frame=True)
    plain = searcher.search(
        pictures, gallery=gallery, top_k=100, per_frame=True, scene_weighting=False
    )
    alone = {hit.id: hit.similarity for hit in plain}
    factors = dict(zip(map(str, files), predictions.scene_factors[:2].mean(0), strict=True))
    assert len(found) == len(plain) > 10
    for hit in found:
        assert hit.similarity == pytest.approx(alone[hit.id] * factors[hit.source], abs=1e-6)


def test_what_has_no_scene_weighs_nothing(gfn, tmp_path):
    searcher, gallery, annotations, _, files = gfn
    cut = searcher.query(files[0], 'whole')
    assert cut.scene_filter is None
    found = searcher.search(cut, gallery=gallery, per_frame=True, top_k=1)[0]
    assert found.similarity == pytest.approx(
        float(gallery.embeddings_of([found.id])[0] @ cut.embedding)
    )
    # Nobody's box is given: whoever is found is looked at once more.
    given = searcher.query(files[0], searcher.detect(files[0]).bboxes[0])
    assert given.scene_filter.shape == (3 * gallery.model.scene_dim + 2,)
    frame = IndexedFrame('a.jpg', (8, 8), np.zeros((0, 4)), np.zeros(0), np.zeros((0, 256)))
    with pytest.raises(ValueError, match='an embedding of each scene, and this frame has none'):
        gallery.append([frame])
    with pytest.raises(GalleryError, match='in Milvus keep no embeddings of scenes'):
        Gallery.open('milvus://localhost:1/people', gallery.model)
