"""Files of published methods: recognised, converted as a whole or refused, and never run."""

import os
import pickle
import runpy
import struct

import pytest
import torch
from helpers.published_names import METHODS, model_name
from helpers.published_weights import blank
from mmengine.runner.checkpoint import CheckpointLoader

from mmps.apis.network import build_model
from mmps.cli.main import scripts
from mmps.published.conversion import convert, convert_file
from mmps.published.families import person_first, recognise
from mmps.utils.checkpoint import CheckpointError
from mmps.utils.config import config_of_checkpoint, load_config

HEAD = 'roi_head.stages.1.bbox_head'


def test_rows_and_classes():
    weights = {
        'roi_heads.faster_rcnn_predictor.cls_score.weight': torch.tensor([[0.0], [1.0]]),
        'roi_heads.faster_rcnn_predictor.bbox_pred.bias': torch.arange(8.0),
        'roi_heads.box_predictor.bbox_pred.1.running_var': torch.arange(8.0) + 10,
        'roi_heads.box_predictor.bbox_pred.1.num_batches_tracked': torch.tensor(3),
        'rpn.head.conv.0.0.bias': torch.ones(2, dtype=torch.float16),
        'roi_heads.reid_head.layer4.0.conv1.weight': torch.ones(1),
    }
    converted = convert(weights, recognise(weights), 'their.pth')
    assert converted['roi_head.stages.0.bbox_head.fc_cls.weight'].tolist() == [[1.0], [0.0]]
    assert converted['roi_head.stages.0.bbox_head.fc_reg.bias'].tolist() == [4, 5, 6, 7]
    assert converted[f'{HEAD}.fc_reg.norm.running_var'].tolist() == [14, 15, 16, 17]
    assert converted[f'{HEAD}.fc_reg.norm.num_batches_tracked'] == 3
    # As torchvision names it since 0.13; half precision becomes float32.
    assert converted['rpn_head.rpn_conv.bias'].dtype == torch.float32
    assert 'roi_head.stages.1.shared_head.network.layer4.0.conv1.weight' in converted
    assert torch.equal(person_first(torch.tensor([1.0, 2.0])), torch.tensor([2.0, 1.0]))


def test_the_file_becomes_a_checkpoint_with_its_config(tmp_path, capsys):
    their, out = tmp_path / 'epoch_17.pth', tmp_path / 'seqnet.pth'
    half = blank('seqnet', dtype=torch.float16)
    bias = 'roi_heads.faster_rcnn_predictor.cls_score.bias'
    half[bias] = torch.tensor([1.0, 2.0], dtype=torch.float16)
    torch.save(dict(model=half, optimizer={}, lr_scheduler={}, epoch=17), their)
    runpy.run_path(str(scripts()['convert-published']))['main']([str(their), '--out', str(out)])
    assert 'seqnet_r50_prw' in capsys.readouterr().out
    content = torch.load(out, weights_only=True)
    assert content['meta']['method'] == 'seqnet' and content['meta']['source'] == 'epoch_17.pth'
    assert len(content['meta']['sha256']) == 64
    config = config_of_checkpoint(out)
    assert config.model.roi_head.type == 'SequentialRoIHead'
    # The same model, whichever way it is loaded.
    model = build_model(config, their)
    assert model.roi_head.stages[0].bbox_head.fc_cls.bias.tolist() == [2, 1]
    loaded = model.state_dict()
    for name, value in content['state_dict'].items():
        assert 'criterion' in name or torch.equal(loaded[name], value), name


class Runs:
    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder / 'it ran'),)


USED = {
    'oim': 'cls_score.bias',
    'coat': 'roi_heads.box_predictor_1st.cls_score.bias',
    'gfn': 'roi_heads.score_predictor.bbox_pred.bias',
    'psarm': 'roi_heads.box_head.qconv1.bias',
    'oimnetpp': 'roi_heads.box_predictor.bbox_cls.bias',
    'seqnet': 'roi_heads.embedding_head.rescaler.weight',
}
"""Of each method a key that is used once; of the others one of proposals."""


def broken(weights, fault, key):
    if fault == 'renamed':
        weights['x_' + key] = weights.pop(key)
        return f'keys that it does not know: x_{key}'
    if fault == 'missing':
        del weights[key]
        return '1 missing'
    weights[key] = torch.zeros(len(weights[key]) + 4)
    return '1 of another shape'


@pytest.mark.parametrize('method', METHODS)
def test_hostile_files_are_refused(method, tmp_path):
    """Each with its reason; nothing is run, nothing is written."""
    their, out = tmp_path / 'their.pth', tmp_path / 'ours.pth'

    def refused(content, reason, damage=lambda raw: raw):
        torch.save(content, their)
        their.write_bytes(damage(their.read_bytes()))
        with pytest.raises(CheckpointError, match=reason) as raised:
            convert_file(their, out, 'prw')
        assert str(their) in str(raised.value)
        assert os.listdir(tmp_path) == ['their.pth']

    key = USED.get(method, 'rpn.head.cls_logits.bias')
    refused(dict(model=blank(method)), 'cannot be read, it is damaged', lambda raw: raw[:10_000])
    refused(dict(model=dict(blank(method), a=Runs(tmp_path))), 'is refused: to read it')
    for fault in ('renamed', 'missing', 'shape'):
        weights = blank(method)
        reason = broken(weights, fault, key)
        refused(dict(model=weights), reason)
    # Half precision is none of these: it becomes float32.
    half = blank(method, dtype=torch.float16)
    converted = convert(half, recognise(half), 'their.pth')
    assert {v.dtype for v in converted.values()} <= {torch.float32, torch.long}


def test_files_of_nobody_are_refused(tmp_path):
    torch.save(dict(model={'layer.weight': torch.zeros(2)}), tmp_path / 'other.pth')
    with pytest.raises(CheckpointError, match='no weights of a method that mmps can convert: coat'):
        convert_file(tmp_path / 'other.pth', tmp_path / 'out.pth')


@pytest.mark.parametrize('method', METHODS)
def test_another_methods_file_is_named(method, tmp_path):
    their = tmp_path / 'their.pth'
    torch.save(dict(model=blank(method)), their)
    config = load_config('seqnet_r50_prw' if method != 'seqnet' else 'nae_r50_prw', {})
    with (
        torch.device('meta'),
        pytest.raises(CheckpointError, match=f'of {method.upper()}: use {model_name(method)}$'),
    ):
        build_model(config, their)


@pytest.mark.parametrize(('method', 'other'), [('naeplus', 'nae'), ('nae', 'naeplus')])
def test_another_method_with_weights_of_the_same_names_is_refused(method, other, tmp_path):
    """The authors' file and the converted one."""
    their, ours = tmp_path / 'their.pth', tmp_path / 'ours.pth'
    torch.save(dict(model=blank(method)), their)
    convert_file(their, ours)
    reason = f'of another method than the config.* of {method.upper()}: use {method}_r50_prw$'
    for path in (their, ours):
        with torch.device('meta'), pytest.raises(CheckpointError, match=reason):
            build_model(load_config(f'{other}_r50_prw', {}), path)


def test_of_which_data_set(tmp_path):
    """Ones whose table has the rows of neither must be named, and a wrong name is an error."""
    their = tmp_path / 'their.pth'
    torch.save(dict(model=blank('nae', 700, 10)), their)
    with pytest.raises(CheckpointError, match='it knows 700 people, and there are 482 in prw'):
        convert_file(their, tmp_path / 'out.pth')
    torch.save(dict(model=blank('nae', 482, 500)), their)
    with pytest.raises(CheckpointError, match='is of prw, not of cuhk-sysu'):
        convert_file(their, tmp_path / 'out.pth', 'cuhk-sysu')


class Python2Pickler(pickle._Pickler):
    """Writes texts as Python 2 wrote them: bytes without an encoding."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_text(self, text):
        data = text.encode('latin-1')
        self.write(pickle.SHORT_BINSTRING + struct.pack('<B', len(data)) + data)
        self.memoize(text)

    dispatch[str] = save_text


def test_files_of_python_2(tmp_path, monkeypatch):
    """NAE's are: PyTorch's format before 1.6, pickled by Python 2."""

    class Module:
        Pickler = Python2Pickler
        dump = staticmethod(
            lambda value, file, protocol: Python2Pickler(file, protocol).dump(value)
        )

    path = tmp_path / 'checkpoint.pth'
    weights = {'rpn.head.conv.bias': torch.tensor([1.0, 2.0]), **minimal_nae()}
    content = dict(model=weights, epoch=21)
    torch.save(content, path, Module, _use_new_zipfile_serialization=False)
    assert b'U\x12rpn.head.conv.bias' in path.read_bytes()
    read = CheckpointLoader.load_checkpoint(str(path), 'cpu')
    assert read['state_dict']['rpn_head.rpn_conv.bias'].tolist() == [1, 2]


def minimal_nae():
    return {
        'roi_heads.box_predictor.cls_score.bias': torch.zeros(2),
        'roi_heads.embedding_head.projectors.feat_res5.0.weight': torch.zeros(2, 3),
    }
