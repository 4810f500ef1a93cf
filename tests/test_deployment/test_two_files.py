"""Two networks in files: what goes in and what comes out, and the files that we write."""

import subprocess
import sys

import numpy as np
import onnx
import openvino
import pytest
import torch
from helpers.exports import decided_two_step, pictures, two_step_config
from onnx import TensorProto, helper, numpy_helper

from mmps.apis import PersonSearcher
from mmps.apis.network import Preprocessing, TwoNetworks
from mmps.apis.preprocessing import model_tag
from mmps.deployment import DetectorFile, ReIDFile
from mmps.deployment.export_two_step import write_two_step
from mmps.deployment.parity import compare
from mmps.published import find_model
from mmps.registry import MODELS
from mmps.utils.errors import UserError

SSD = np.float32(
    [
        [0, 1, 0.5, 0.1, 0.2, 0.5, 0.9],
        [0, 1, 0.9, 0.5, 0.5, 1.5, 1.0],  # reaches out of the image
        [0, 2, 0.99, 0.0, 0.0, 0.5, 0.5],  # of another class
        [0, 1, 0.2, 0.0, 0.0, 0.5, 0.5],  # unlikely
        [-1, 1, 0.9, 0.0, 0.0, 1.0, 1.0],  # no row
    ]
)


def write(path, nodes, inputs, outputs, constants=()):
    """An ONNX file of these parts."""
    initializers = [numpy_helper.from_array(value, name) for name, value in constants]
    graph = helper.make_graph(nodes, 'g', inputs, outputs, initializers)
    opset = [helper.make_opsetid('', 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


def value(name, *shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def detector(path, rows, size):
    """A detector that finds ``rows`` whatever it sees, plus nothing of the image."""
    nodes = [
        helper.make_node('ReduceSum', ['image'], ['sum'], keepdims=0),
        helper.make_node('Mul', ['sum', 'zero'], ['nothing']),
        helper.make_node('Add', ['rows', 'nothing'], ['out']),
    ]
    constants = [('zero', np.float32(0)), ('rows', rows)]
    width, height = size
    return write(
        path, nodes, [value('image', 1, 3, height, width)], [value('out', *rows.shape)], constants
    )


def channel_means(path, batch, size=(8, 16)):
    """A re-ID network whose embedding is the mean of each channel."""
    width, height = size
    nodes = [
        helper.make_node('GlobalAveragePool', ['crops'], ['pooled']),
        helper.make_node('Flatten', ['pooled'], ['embedding']),
    ]
    return write(
        path, nodes, [value('crops', batch, 3, height, width)], [value('embedding', batch, 3)]
    )


def as_ir(path):
    """The same file as OpenVINO's IR."""
    target = path.with_suffix('.xml')
    openvino.save_model(openvino.convert_model(path), target, compress_to_fp16=False)
    return target


@pytest.mark.parametrize('form', ['onnx', 'ir'])
def test_rows_of_an_ssd_become_people(tmp_path, form):
    path = detector(tmp_path / 'd.onnx', SSD[None, None], (64, 32))
    network = DetectorFile(
        as_ir(path) if form == 'ir' else path,
        (64, 32),
        output='ssd',
        person_label=1,
        score_thr=0.3,
    )
    images = pictures((100, 50), (64, 32), (30, 80))
    for image, (boxes, scores) in zip(images, network.find(images), strict=True):
        height, width = image.shape[:2]
        wanted = np.float32([[0.5, 0.5, 1, 1], [0.1, 0.2, 0.5, 0.9]]) * np.tile([width, height], 2)
        np.testing.assert_allclose(boxes, wanted, rtol=1e-5)
        np.testing.assert_allclose(scores, [0.9, 0.5])
        assert boxes.dtype == scores.dtype == np.float32


def test_dets_are_taken_back_to_the_image(tmp_path):
    nodes = [
        helper.make_node('ReduceSum', ['image'], ['sum'], keepdims=0),
        helper.make_node('Mul', ['sum', 'zero'], ['nothing']),
        helper.make_node('Add', ['rows', 'nothing'], ['dets']),
        helper.make_node('Identity', ['classes'], ['labels']),
    ]
    rows = np.float32([[[10, 10, 20, 30, 0.8], [0, 0, 40, 40, 0.9], [0, 50, 10, 60, 0.7]]])
    constants = [('zero', np.float32(0)), ('rows', rows), ('classes', np.float32([[0, 7, 0]]))]
    path = write(
        tmp_path / 'd.onnx',
        nodes,
        [value('image', 1, 3, 64, 64)],
        [value('labels', 1, 3), value('dets', 1, 3, 5)],
        constants,
    )
    (image,) = pictures((128, 64))
    network = DetectorFile(path, (64, 64), keep_ratio=True)
    ((boxes, scores),) = network.find([image])
    # Twice as large; the third lies in what was filled in below the image.
    np.testing.assert_allclose(boxes, [[20, 20, 40, 60]])
    np.testing.assert_allclose(scores, [0.8])
    with pytest.raises(UserError, match='output=dets needs outputs'):
        DetectorFile(detector(tmp_path / 's.onnx', SSD[None, None], (64, 64)), (64, 64)).find(
            [image]
        )


def test_scale_that_does_not_fit_the_input(tmp_path):
    path = detector(tmp_path / 'd.onnx', SSD[None, None], (64, 64))
    network = DetectorFile(path, (64, 64), keep_ratio=True, scale=(200, 100), output='ssd')
    with pytest.raises(UserError, match='larger than input_size'):
        network.find(pictures((128, 64)))


@pytest.mark.parametrize('batch', [1, 4, 'n'])
@pytest.mark.parametrize('form', ['onnx', 'ir'])
def test_crops_are_normalised_in_the_networks_order(tmp_path, batch, form):
    path = channel_means(tmp_path / 'r.onnx', batch)
    network = ReIDFile(
        as_ir(path) if form == 'ir' else path,
        (8, 16),
        channels='rgb',
        mean=(10, 20, 30),
        std=(1, 2, 4),
    )
    colours = np.random.default_rng(0).integers(60, 256, (11, 3))  # BGR
    crops = np.broadcast_to(colours[:, None, None], (11, 16, 8, 3)).astype(np.uint8)
    wanted = (colours[:, ::-1] - [10, 20, 30]) / [1, 2, 4]
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(network.embed_crops(crops), wanted, rtol=1e-4)
    assert network.embed_crops(crops[:0]).shape == (0, 3) and network.embed_dim == 3


def test_two_networks_find_and_embed(tmp_path):
    finds = DetectorFile(
        detector(tmp_path / 'd.onnx', SSD[None, None], (64, 32)),
        (64, 32),
        output='ssd',
        person_label=1,
        score_thr=0.3,
    )
    embeds = ReIDFile(channel_means(tmp_path / 'r.onnx', 'n'), (8, 16))
    network = TwoNetworks(finds, embeds, 'both', max_people=1)
    images = pictures((100, 50), (64, 32))
    for image, people in zip(images, network(images), strict=True):
        (box,) = people.bboxes
        mean = image[round(box[1]) : round(box[3]), round(box[0]) : round(box[2])].mean((0, 1))
        np.testing.assert_allclose(people.embeddings[0], mean / np.linalg.norm(mean), atol=0.02)
    given = network(images, [np.array([[0, 0, 10, 20.0], [5, 5, 30, 30]]), np.zeros((0, 4))])
    assert [len(people) for people in given] == [2, 0]
    assert given[1].embeddings.shape == (0, 3) and given[0].scores.tolist() == [1, 1]
    assert network([]) == []


def test_threads_share_two_networks(tmp_path):
    """Images of one call are prepared while those of others are in the networks."""
    finds = DetectorFile(
        as_ir(detector(tmp_path / 'd.onnx', SSD[None, None], (64, 32))),
        (64, 32),
        output='ssd',
        person_label=1,
    )
    embeds = ReIDFile(as_ir(channel_means(tmp_path / 'r.onnx', 1)), (8, 16))
    network = TwoNetworks(finds, embeds, 'both')
    assert network.ahead == 2
    images = pictures(*[(100, 50), (64, 32)] * 40)
    searcher = PersonSearcher.of_network(network, batch_size=3)
    for image, people in zip(images, searcher.detect(iter(images)), strict=True):
        (alone,) = network([image])
        kept = alone[alone.scores >= 0.5]
        np.testing.assert_array_equal(people.bboxes, kept.bboxes)
        np.testing.assert_array_equal(people.embeddings, kept.embeddings)


def test_galleries_belong_to_the_reid_network_and_its_preprocessing(tmp_path):
    path = channel_means(tmp_path / 'r.onnx', 'n')
    digests = {
        ReIDFile(path, (8, 16)).digest,
        ReIDFile(path, (8, 16), channels='rgb').digest,
        ReIDFile(path, (8, 16), mean=(1, 2, 3)).digest,
        ReIDFile(channel_means(tmp_path / 's.onnx', 1), (8, 16)).digest,
    }
    assert len(digests) == 4
    assert ReIDFile(path, (8, 16), threads=1).digest in digests


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(channels='gbr'), "channels='gbr'"),
        (dict(output='yolo'), "output='yolo'"),
        (dict(backend='caffe'), "backend='caffe'"),
    ],
)
def test_options_that_are_not_there(tmp_path, options, message):
    path = detector(tmp_path / 'd.onnx', SSD[None, None], (64, 32))
    with pytest.raises(UserError, match=message):
        DetectorFile(path, (64, 32), **options)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(UserError, match='d.onnx does not exist'):
        DetectorFile(tmp_path / 'd.onnx', (64, 32))
    ir = as_ir(channel_means(tmp_path / 'r.onnx', 'n'))
    with pytest.raises(UserError, match='only OpenVINO runs its IR'):
        ReIDFile(ir, (8, 16), backend='onnxruntime')
    ir.with_suffix('.bin').unlink()
    with pytest.raises(UserError, match='r.bin does not exist'):
        ReIDFile(ir, (8, 16))


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
    """Config and model of two networks in PyTorch, and the file that names them exported."""
    torch.manual_seed(0)
    config = two_step_config(score_thr=0.6)
    model = decided_two_step(MODELS.build(config.model))
    tag = model_tag(config, model, 'tiny.pth')
    out = tmp_path_factory.mktemp('pair') / 'tiny.yml'
    write_two_step(model, out, 'two tiny networks', tag.fingerprint)
    return config, model, out


def test_exported_pair_finds_and_embeds_what_pytorch_does(pair):
    config, model, out = pair
    exported = MODELS.build(find_model(out).resolved())
    images = pictures((200, 150), (120, 180), (160, 96)) * 2
    parity = compare(model, exported, Preprocessing(config), images)
    assert parity.people >= 10 and parity.unmatched == 0
    assert parity.pixels < 1e-4 and parity.score < 1e-4
    assert min(parity.cosine, parity.given_cosine) > 1 - 1e-6


def test_exported_pair_without_pytorch_equals_its_mmdet_form_in_every_number(pair):
    _, model, out = pair
    searcher = PersonSearcher(out)
    images = pictures((160, 96), (120, 180))
    found = list(searcher.detect(images))
    with torch.no_grad():
        tensors = [torch.from_numpy(image).permute(2, 0, 1) for image in images]
        from mmdet.structures import DetDataSample

        samples = [DetDataSample(metainfo=dict(img_shape=image.shape[:2])) for image in images]
        wanted = [one.pred_instances for one in model.predict(tensors, samples)]
    assert sum(map(len, found)) > 3
    for people, one in zip(found, wanted, strict=True):
        for key in ('bboxes', 'scores', 'embeddings'):
            np.testing.assert_allclose(getattr(people, key), one[key].numpy(), atol=1e-4)


def test_galleries_of_the_exported_pair_are_those_of_pytorch(pair):
    config, model, out = pair
    assert PersonSearcher(out).tag.fingerprint == model_tag(config, model, 'x.pth').fingerprint


@pytest.mark.parametrize(
    ('steps', 'message'),
    [
        ([dict(type='Resize', scale=(160, 96), keep_ratio=True)], "dict\\(type='Pad'"),
        ([dict(type='RandomFlip', prob=0.5)], 'cannot be exported'),
    ],
)
def test_pipelines_that_cannot_be_exported(tmp_path, steps, message):
    model = MODELS.build({**two_step_config().model, 'detector_pipeline': steps})
    with pytest.raises(UserError, match=message):
        write_two_step(model, tmp_path / 'x.yml', 'x', 'x')
    assert not list(tmp_path.iterdir())


def test_openvino_tells_nobody_that_it_was_started():
    """Its telemetry forks the process to send."""
    code = (
        'import os, sys; os.register_at_fork(before=lambda: os.write(1, b"forked"));'
        'from mmps.deployment.runtimes import _openvino_core; _openvino_core();'
        'print("openvino.tools.ovc" in sys.modules, "openvino_telemetry.main" in sys.modules)'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ['True', 'False'], done.stderr
