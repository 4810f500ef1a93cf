"""Every family of the paper's models, exported and compared with PyTorch at several sizes."""

import onnx
import pytest
import torch
from helpers.exports import decided, exportable_config, pictures

from mmps.apis.network import Preprocessing
from mmps.apis.preprocessing import model_file
from mmps.deployment.export import write_onnx
from mmps.deployment.exported_model import ExportedPersonSearch
from mmps.deployment.parity import compare
from mmps.deployment.runtimes import INPUTS, OUTPUTS
from mmps.registry import MODELS
from mmps.testing.tiny_models import PLUS
from mmps.utils.errors import UserError

SIZES = (160, 120), (100, 190), (320, 200)
RESNET = dict(
    model__backbone=dict(
        type='ResNet',
        depth=18,
        base_channels=8,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(2,),
        _delete_=True,
    ),
    model__roi_head__shared_head=dict(
        type='DenseNetIdentification', in_channels=32, num_layers=1, growth_rate=4, _delete_=True
    ),
    model__roi_head__bbox_head__in_channels=36,
)
GOOGLENET = dict(
    model__backbone=dict(type='GoogLeNet', width=0.125, _delete_=True),
    model__data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3),
    model__roi_head__shared_head=dict(
        type='GoogLeNetIdentification', in_channels=104, width=0.125, _delete_=True
    ),
    model__roi_head__bbox_head__in_channels=128,
)


def stem_of(channels, overrides):
    return {
        'model__neck__in_channels': channels,
        'model__rpn_head__in_channels': channels,
        'model__roi_head__bbox_roi_extractor__out_channels': channels,
        **overrides,
    }


FAMILIES = {
    'without attention or warp': dict(
        model__neck=None, model__roi_head__attention=None, model__test_cfg__rpn__score_thr=0.5
    ),
    'plus': PLUS,
    'resnet': stem_of(32, RESNET),
    'googlenet': stem_of(104, GOOGLENET),
    'warp of regions': dict(
        model__neck=None,
        model__roi_head__region_transformer=dict(),
        model__roi_head__attention__mode='both',
    ),
    'length as score': dict(
        model__roi_head__reid_head__norm_aware=True, model__roi_head__bbox_head__with_cls=False
    ),
}


def alike(model, config, path):
    return compare(model, ExportedPersonSearch(path), Preprocessing(config), pictures(*SIZES * 2))


@pytest.mark.parametrize('family', FAMILIES)
def test_families(family, tmp_path):
    config = exportable_config(**FAMILIES[family])
    model = MODELS.build(config.model)
    if family == 'length as score':
        model.roi_head.bbox_head.fc_cls = model.roi_head.bbox_head.fc_reg
    model = decided(model)
    path = tmp_path / 'model.onnx'
    write_onnx(model, path, model_file(config, model, 'tiny.pth'))
    parity = alike(model, config, path)
    assert parity.people >= 6, parity
    parity.require(pixels=0.01)


def test_operators_that_onnx_does_not_have_are_refused(exported, tmp_path, monkeypatch):
    """As those of COAT."""

    def export(*arguments, **options):
        raise TypeError(
            "'NoneType' object is not subscriptable \n(Occurred when translating col2im)."
        )

    monkeypatch.setattr(torch.onnx, 'export', export)
    config, model, _, _ = exported
    with pytest.raises(UserError, match='to ONNX: Occurred when translating col2im'):
        write_onnx(model, tmp_path / 'model.onnx', model_file(config, model, 'tiny.pth'))


def test_the_whole_model_is_one_file_of_any_size(exported):
    config, model, path, _ = exported
    parity = alike(model, config, path)
    assert parity.images == 6 and parity.people >= 6
    parity.require(pixels=0.01)
    graph = onnx.load(path).graph
    onnx.checker.check_model(str(path))
    assert tuple(value.name for value in graph.input) == INPUTS
    assert tuple(value.name for value in graph.output) == OUTPUTS
    sides = graph.input[0].type.tensor_type.shape.dim
    assert [side.dim_param for side in sides[:3]] == ['images', 'height', 'width']
    assert [file.name for file in path.parent.iterdir() if 'data' in file.name] == []


def test_a_file_of_other_weights_fails_the_comparison(exported):
    config, _, path, _ = exported
    torch.manual_seed(1)
    other = decided(MODELS.build(config.model))
    with pytest.raises(UserError, match='differs from PyTorch'):
        alike(other, config, path).require()


def test_nobody_found_is_no_comparison(exported):
    config, model, path, _ = exported
    parity = compare(model, ExportedPersonSearch(path), Preprocessing(config), [])
    with pytest.raises(UserError, match='--images'):
        parity.require()


def test_other_roi_layers_are_refused(tmp_path):
    config = exportable_config(model__roi_head__bbox_roi_extractor__roi_layer__pool_mode='max')
    model = MODELS.build(config.model)
    with pytest.raises(UserError, match='pool_mode'):
        write_onnx(model, tmp_path / 'model.onnx', model_file(config, model, 'tiny.pth'))
    assert not list(tmp_path.iterdir())
