"""The tools with a model that stands for config and checkpoint."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import openvino
import pytest
import torch
from helpers.exports import decided_two_step, two_step_config
from helpers.prw_files import write_tiny_prw
from mmengine.registry import init_default_scope

from mmps.apis import PersonSearcher
from mmps.apis.network import TwoNetworks
from mmps.evaluation.functional import load_predictions
from mmps.published import MODELS_VARIABLE, find_model, model_folder, model_names
from mmps.published.models import published_config
from mmps.registry import MODELS
from mmps.retrieval import Gallery
from mmps.testing.tiny_models import CONFIGS
from mmps.utils.crops import cut_people
from mmps.utils.errors import UserError


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Config file and checkpoint of two networks in PyTorch, and the folder of a data set."""
    init_default_scope('mmps')
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp('two_step')
    config = two_step_config(score_thr=0.3)
    model = decided_two_step(MODELS.build(config.model))
    torch.save(dict(state_dict=model.state_dict()), folder / 'tiny.pth')
    config.dump(folder / 'tiny.py')
    return folder / 'tiny.py', folder / 'tiny.pth', write_tiny_prw(folder / 'prw', test_frames=4)


@pytest.fixture(scope='module')
def model(trained, load_tool, tmp_path_factory):
    """A model in two files, as export_onnx.py writes it."""
    config, checkpoint, root = trained
    out = tmp_path_factory.mktemp('exported') / 'tiny.yml'
    load_tool('deployment/export_onnx.py').main(
        [str(config), str(checkpoint), '--out', str(out), '--images', str(root / 'frames')]
    )
    return out


def test_export_compares_and_writes_three_files(model):
    names = {path.name for path in model.parent.iterdir()}
    assert names == {'tiny.yml', 'tiny.detector.onnx', 'tiny.reid.onnx'}


def test_index_and_search_by_name(model, trained, load_tool, tmp_path, capsys):
    gallery, scenes = tmp_path / 'people.lance', trained[2] / 'frames'
    index = ['--gallery', str(gallery), '--score-thr', '0.3']
    load_tool('index_gallery.py').main([str(model), str(scenes), *index])
    people = Gallery.open(gallery, create=False).info().people
    assert people > 4
    query = sorted(scenes.iterdir())[0]
    hits = tmp_path / 'hits.json'
    search = ['--box', '10,10,40,80', '--gallery', str(gallery), '--out', str(hits)]
    load_tool('search_person.py').main([str(model), str(query), *search])
    ranked = json.loads(hits.read_text())
    similarities = [hit['similarity'] for hit in ranked['hits']]
    assert similarities == sorted(similarities, reverse=True) and len(similarities) > 3
    # The same gallery, by the networks that the files were exported from.
    load_tool('search_person.py').main([*map(str, trained[:2]), str(query), *search])
    again = [hit['similarity'] for hit in json.loads(hits.read_text())['hits']]
    np.testing.assert_allclose(again, similarities, atol=1e-4)


def test_test_by_name_on_the_data_set_of_a_config(model, trained, load_tool, tmp_path):
    predictions = []
    for number, what in enumerate([[model], trained[:2]]):
        out = tmp_path / f'{number}.npz'
        words = [*map(str, what), '--out', str(out), '--work-dir', str(tmp_path / 'work')]
        options = ['--cfg-options', f'test_dataloader.dataset.data_root={trained[2]}']
        options += ['test_dataloader.num_workers=0', 'test_dataloader.persistent_workers=False']
        if number == 0:
            words += ['--data', str(CONFIGS / 'ps_resnet50_prw.py')]
        else:
            config = published_config(find_model(model), CONFIGS / 'ps_resnet50_prw.py')
            config.model = two_step_config(score_thr=0.3).model
            config.dump(tmp_path / 'whole.py')
            words[0] = str(tmp_path / 'whole.py')
        load_tool('test.py').main([*words, *options])
        predictions.append(load_predictions(str(out)))
    one, other = predictions
    assert len(one.bboxes) > 4
    for key in ('bboxes', 'scores', 'embeddings', 'query_embeddings'):
        np.testing.assert_allclose(getattr(one, key), getattr(other, key), atol=1e-3)


def test_list_models(load_tool, capsys):
    for tool in ('index_gallery.py', 'test.py'):
        with pytest.raises(SystemExit) as ended:
            load_tool(tool).main(['--list-models'])
        assert not ended.value.code
        listed = capsys.readouterr().out
        for name in model_names():
            assert f'{name}\n' in listed
        assert 'Apache-2.0' in listed and 'measured' in listed


def test_what_does_not_fit_is_told(model, trained, load_tool, tmp_path):
    config, checkpoint, root = map(str, trained)
    gallery = str(tmp_path / 'people.lance')
    with pytest.raises(UserError, match='--cfg-options'):
        load_tool('index_gallery.py').main(
            [str(model), root, '--gallery', gallery, '--cfg-options', 'model.score_thr=1']
        )
    with pytest.raises(UserError, match='--data: only of a published model'):
        load_tool('test.py').main([config, checkpoint, '--data', config])
    with pytest.raises(UserError, match='names its own files'):
        PersonSearcher(model, checkpoint)
    with pytest.raises(UserError, match='needs a checkpoint'):
        PersonSearcher(config)
    with pytest.raises(UserError, match='there are onnxruntime and openvino'):
        PersonSearcher(model, backend='torch')


@pytest.mark.parametrize('backend', ['onnxruntime', 'openvino'])
def test_backends_agree(model, trained, backend):
    images = sorted((trained[2] / 'frames').iterdir())[:2]
    for one, other in zip(
        PersonSearcher(model, backend=backend, score_thr=0.3).detect(images),
        PersonSearcher(*trained[:2], score_thr=0.3).detect(images),
        strict=True,
    ):
        np.testing.assert_allclose(one.bboxes, other.bboxes, atol=1e-3)
        np.testing.assert_allclose(one.embeddings, other.embeddings, atol=1e-3)


REAL = find_model('omz-0013-0286')


def real_files():
    """The published files, where this machine has them."""
    folders = [os.environ.get(MODELS_VARIABLE), model_folder() / REAL.name]
    there = [path for folder in folders if folder for path in Path(folder).rglob('*')]
    return {path.name: path for path in there if path.name in REAL.files}


@pytest.mark.skipif(
    len(real_files()) < 4, reason='needs the files of omz-0013-0286: MMPS_MODELS, or the cache'
)
def test_the_published_files_embed_what_openvino_alone_does():
    image = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 256, (270, 480, 3), np.uint8), (0, 0), 5
    )
    boxes = [[10, 10, 74, 138], [200, 20, 264, 148]]
    core = openvino.Core()
    network = core.compile_model(
        real_files()['person-reidentification-retail-0286.xml'],
        'CPU',
        {'INFERENCE_PRECISION_HINT': 'f32'},
    )
    rows = []
    for x1, y1, x2, y2 in boxes:
        crop = cut_people(image, np.array([[x1, y1, x2, y2]]))[0]
        (row,) = network([crop.transpose(2, 0, 1)[None].astype(np.float32)]).values()
        rows.append(row.reshape(-1) / np.linalg.norm(row))
    network = TwoNetworks.of_model(REAL, precision='float32')  # else by the CPU
    searcher = PersonSearcher.of_network(network, score_thr=REAL.score_thr)
    np.testing.assert_allclose(searcher.embed(image, boxes), rows, atol=1e-4)
    assert len(searcher.detect(np.zeros((270, 480, 3), np.uint8))) == 0
