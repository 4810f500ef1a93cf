import numpy as np
import pytest
import torch
from helpers.exports import exportable_config, pictures

from mmps.apis import PersonSearcher
from mmps.apis.network import OnnxNetwork, OpenVINONetwork, Preprocessing, TorchNetwork
from mmps.deployment import ModelFile
from mmps.deployment.export import write_int8
from mmps.utils.errors import UserError

IMAGES = pictures((200, 150), (150, 180))
BOXES = [np.float32([[10, 10, 60, 120], [50, 20, 120, 140]]), np.zeros((0, 4), np.float32)]


@pytest.mark.parametrize('kind', [OnnxNetwork, OpenVINONetwork])
def test_runtimes_agree_with_pytorch(kind, exported):
    config, _, path, checkpoint = exported
    ours, theirs = TorchNetwork(config, checkpoint, 'cpu'), kind(config, path, 'cpu')
    assert theirs.tag == ours.tag
    assert theirs([]) == []
    for boxes in (None, BOXES):
        for one, other in zip(ours(IMAGES, boxes), theirs(IMAGES, boxes), strict=True):
            assert len(one) == len(other)
            np.testing.assert_allclose(other.bboxes, one.bboxes, atol=0.01)
            np.testing.assert_allclose(other.scores, one.scores, atol=1e-4)
            np.testing.assert_allclose(other.embeddings, one.embeddings, atol=1e-4)
    assert sum(map(len, theirs(IMAGES))) > 2


def test_a_config_with_other_preprocessing_is_refused(exported):
    _, _, path, _ = exported
    config = exportable_config()
    config.test_dataloader.dataset.pipeline[1].scale = (320, 240)
    with pytest.raises(UserError, match='other preprocessing'):
        OnnxNetwork(config, path)


@pytest.mark.parametrize('content', [b'', b'no model', None])
def test_files_that_are_no_exported_model(content, exported, tmp_path):
    config, _, path, _ = exported
    bad = tmp_path / 'bad.onnx'
    bad.write_bytes(path.read_bytes()[:3000] if content is None else content)
    with pytest.raises(UserError, match=r'bad\.onnx is damaged'):
        OnnxNetwork(config, bad)
    with pytest.raises(FileNotFoundError, match=r'none\.onnx'):
        OnnxNetwork(config, tmp_path / 'none.onnx')


def test_devices_and_precisions_that_are_not_there(exported, monkeypatch):
    config, _, path, _ = exported
    with pytest.raises(UserError, match='onnxruntime-gpu'):
        OnnxNetwork(config, path, 'cuda:0')
    with pytest.raises(UserError, match='takes auto'):
        OnnxNetwork(config, path, 'tpu')
    with pytest.raises(UserError, match='OpenVINO finds'):
        OpenVINONetwork(config, path, 'NPU')
    with pytest.raises(UserError, match='take backend openvino'):
        PersonSearcher(config, path, amp='bfloat16')
    assert OnnxNetwork(config, path, precision='auto').precision == 'float32'
    monkeypatch.setattr('openvino.Core.get_property', lambda *_: ['FP32', 'INT8'])
    with pytest.raises(UserError, match='bfloat16'):
        PersonSearcher(config, path, backend='openvino', amp='bfloat16')
    assert OpenVINONetwork(config, path, precision='auto').precision == 'float32'


def test_int8_is_a_model_of_its_own_and_close(exported, tmp_path):
    config, _, path, _ = exported
    out = tmp_path / 'int8.onnx'
    write_int8(path, out, Preprocessing(config), IMAGES)
    full, small = OnnxNetwork(config, path), OnnxNetwork(config, out)
    assert ModelFile.read(out).precision == 'int8'
    assert small.tag.fingerprint != full.tag.fingerprint and small.tag.embed_dim == 16
    (one, _), (other, _) = (network(IMAGES, BOXES) for network in (full, small))
    cosines = torch.from_numpy((one.embeddings * other.embeddings).sum(1))
    assert cosines.min() > 0.9
    assert cosines.max() < 1 - 1e-7
