"""Every published method in the whole product, narrow, from a file as its authors save it."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from helpers.exports import pictures
from helpers.prw_files import write_tiny_prw
from helpers.published_names import METHODS, model_name
from helpers.published_weights import narrow_config, narrow_file
from mmengine.registry import init_default_scope

from mmps.apis import PersonSearcher
from mmps.apis.network import Preprocessing
from mmps.apis.preprocessing import model_file
from mmps.deployment.export import write_onnx
from mmps.deployment.exported_model import ExportedPersonSearch
from mmps.deployment.parity import compare
from mmps.registry import MODELS
from mmps.retrieval import Gallery
from mmps.utils.errors import UserError
from mmps.web import SearchService
from mmps.web.session import Session

BOX = (16, 24, 64, 84)


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    root = write_tiny_prw(tmp_path_factory.mktemp('prw'), train_frames=2, test_frames=2)
    return sorted((root / 'frames').iterdir())[:2]


@pytest.fixture(scope='module', params=METHODS)
def product(request, tmp_path_factory, scenes):
    """A method's config, what searches with its authors' file, and a gallery of two scenes."""
    init_default_scope('mmps')
    config = narrow_config(model_name(request.param))
    path = tmp_path_factory.mktemp(request.param) / 'theirs.pth'
    torch.save(dict(model=narrow_file(request.param, MODELS.build(config.model))), path)
    searcher = PersonSearcher(config, path, device='cpu', score_thr=0.0)
    gallery = Gallery.open('memory:', searcher.tag)
    searcher.index(scenes, gallery, progress=False)
    return SimpleNamespace(
        method=request.param, config=config, searcher=searcher, gallery=gallery, path=path
    )


def test_indexed_and_searched(product, scenes):
    people = list(product.searcher.detect(scenes))
    rows = np.concatenate([one.embeddings for one in people])
    assert len(rows) >= 2 and product.gallery.info().people == len(rows)
    wanted = product.searcher.embed(scenes[0], [BOX])[0]
    found = product.searcher.search(
        scenes[0], BOX, gallery=product.gallery, top_k=100, scene_weighting=False
    )
    similarities = [hit.similarity for hit in found]
    np.testing.assert_allclose(similarities, np.sort(rows @ wanted)[::-1], atol=1e-5)


def test_the_page_finds_what_the_search_finds(product, scenes):
    image = cv2.imread(str(scenes[1]))
    height, width = image.shape[:2]
    service = SearchService(product.searcher, product.gallery)
    session = service.open_picture(Session(), cv2.imencode('.png', image)[1].tobytes(), 'me.png')
    assert len(session.picture.people) == len(product.searcher.detect(image))
    edges = tuple(np.array(BOX) / (width, height, width, height))
    shown = cv2.imdecode(np.frombuffer(session.picture.jpeg, np.uint8), cv2.IMREAD_COLOR)
    expected = product.searcher.search(shown, BOX, gallery=product.gallery, scene_weighting=False)
    hits = service.choose_box(session, edges, add=False).hits
    assert [hit.id for hit in hits] == [hit.id for hit in expected]


REFUSED = {
    'naeplus': 'relative_scores cannot be exported',
    'oim': 'rpn_head=PyFasterRCNNRPNHead cannot be exported',
    'solider': 'backbone=SemanticSwin cannot be exported: the number of its windows',
}


def test_exported_or_refused_with_the_reason(product, tmp_path):
    config, model = product.config, product.searcher.network.model
    path = tmp_path / 'model.onnx'
    if product.method in REFUSED:
        with pytest.raises(UserError, match=REFUSED[product.method]):
            write_onnx(model, path, model_file(config, model, product.path))
        assert not list(tmp_path.iterdir())
        return
    write_onnx(model, path, model_file(config, model, product.path))
    exported = ExportedPersonSearch(path)
    parity = compare(
        model, exported, Preprocessing(config), pictures((160, 120), (100, 190), (160, 96))
    )
    assert parity.people >= 2, parity
    parity.require(pixels=0.01)
