"""Files of published methods: recognised, converted as a whole or refused, and never run."""

import os
import pickle
import runpy
import struct

import pytest
import torch
from helpers.published_weights import METHODS, blank
from mmengine.config import Config
from mmengine.runner.checkpoint import CheckpointLoader

from mmps.apis.network import build_model
from mmps.cli.main import scripts
from mmps.published.conversion import convert, convert_file
from mmps.published.families import person_first, recognise
from mmps.registry import MODELS
from mmps.testing.tiny_models import CONFIGS
from mmps.utils.checkpoint import CheckpointError
from mmps.utils.config import config_of_checkpoint

HEAD = 'roi_head.stages.1.bbox_head'


@pytest.mark.parametrize('method', METHODS)
def test_every_key_has_its_place(method):
    """Zero missing, zero unknown, each of the right shape, in the model of the method's config."""
    weights = blank(method)
    family = recognise(weights)
    assert family.method == method
    (name,) = (CONFIGS / method.replace('plus', '')).glob(f'{method}_r50_prw.py')
    config = Config.fromfile(name)
    with torch.device('meta'):
        wanted = MODELS.build(config.model).state_dict()
    converted = convert(weights, family, 'their.pth')
    assert converted.keys() == wanted.keys()
    different = {k for k, v in converted.items() if v.shape != wanted[k].shape}
    # They count one person less in PRW.
    (table,) = (key for key in wanted if key.endswith('criterion.lut'))
    assert different == {table}


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


def broken(weights, name):
    if name == 'renamed':
        weights['backbone.conv2.weight'] = weights.pop('backbone.conv1.weight')
    elif name == 'missing':
        del weights['roi_heads.embedding_head.rescaler.weight']
    elif name == 'shape':
        weights['rpn.head.cls_logits.bias'] = torch.zeros(9)
    elif name == 'unknown':
        weights['roi_heads.attention.weight'] = torch.zeros(2)
    return weights


@pytest.mark.parametrize(
    ('fault', 'message'),
    [
        ('renamed', 'keys that it does not know: backbone.conv2.weight'),
        ('missing', r'1 missing \(roi_head.stages.1.reid_head.length_norm.weight\)'),
        ('shape', r'1 of another shape \(rpn_head.rpn_cls.bias\)'),
        ('unknown', 'keys that it does not know: roi_heads.attention.weight'),
    ],
)
def test_files_that_fit_in_part_are_refused(fault, message, tmp_path):
    their, out = tmp_path / 'their.pth', tmp_path / 'ours.pth'
    torch.save(dict(model=broken(blank('seqnet'), fault)), their)
    with pytest.raises(CheckpointError, match=message) as raised:
        convert_file(their, out)
    assert str(their) in str(raised.value)
    assert os.listdir(tmp_path) == ['their.pth']


class Runs:
    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder / 'it ran'),)


def test_files_that_are_none_are_refused(tmp_path):
    code, cut, other = (tmp_path / f'{name}.pth' for name in ('code', 'cut', 'other'))
    torch.save(dict(model=dict(a=Runs(tmp_path))), code)
    torch.save(dict(model=blank('nae')), cut)
    cut.write_bytes(cut.read_bytes()[:10_000])
    torch.save(dict(model={'layer.weight': torch.zeros(2)}), other)
    for path, message in (
        (code, 'is refused: to read it'),
        (cut, 'cannot be read, it is damaged'),
        (other, 'no weights of a method that mmps can convert: coat, '),
    ):
        with pytest.raises(CheckpointError, match=message):
            convert_file(path, tmp_path / 'out.pth')
    assert not {'it ran', 'out.pth'} & set(os.listdir(tmp_path))


def test_of_which_data_set(tmp_path):
    """Ones whose table has the rows of neither must be named, and a wrong name is an error."""
    their = tmp_path / 'their.pth'
    torch.save(dict(model=blank('nae', 700, 10)), their)
    with pytest.raises(CheckpointError, match='it knows 700 people, and there are 482 in prw'):
        convert_file(their, tmp_path / 'out.pth')
    torch.save(dict(model=blank('nae', 482, 500)), their)
    with pytest.raises(CheckpointError, match='is of prw, not of cuhk-sysu'):
        convert_file(their, tmp_path / 'out.pth', 'cuhk-sysu')


def test_another_methods_file_is_refused(tmp_path):
    their = tmp_path / 'their.pth'
    torch.save(dict(model=blank('nae')), their)
    config = Config.fromfile(CONFIGS / 'seqnet/seqnet_r50_prw.py')
    with pytest.raises(CheckpointError, match='of another model than the config'):
        build_model(config, their)


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
