"""Tables of names: every weight of a published file has its place, or is known to have none."""

import pytest
import torch
from helpers.published_names import METHODS, model_name
from helpers.published_weights import blank

from mmps.published import models_of_methods
from mmps.published.conversion import convert
from mmps.published.families import FAMILIES, recognise
from mmps.registry import MODELS
from mmps.utils.checkpoint import CheckpointError, check_state_dict, loss_prefixes
from mmps.utils.config import load_config


@pytest.mark.parametrize('method', METHODS)
def test_every_weight_has_its_place(method):
    weights = blank(method)
    family = recognise(weights)
    assert family.name_for('prw') == model_name(method)
    with torch.device('meta'):
        model = MODELS.build(load_config(model_name(method), {}).model)
    wanted, losses = model.state_dict(), loss_prefixes(model)
    converted = convert(weights, family, 'their.pth')
    assert converted.keys() <= wanted.keys()
    # A classifier that serves training alone is not published.
    assert all(name.startswith(losses) for name in wanted.keys() - converted.keys())
    different = {name for name, w in converted.items() if w.shape != wanted[name].shape}
    assert all(name.endswith('criterion.lut') for name in different)


def test_weights_that_are_saved_twice_have_to_be_the_same():
    name = 'roi_heads.box_head.conv1.weight'
    weights = blank('coat')
    weights[name] = torch.ones(weights[name].shape)
    with pytest.raises(CheckpointError, match=f'the same as another and do not: {name}'):
        convert(weights, recognise(weights), 'their.pth')


def test_classes_of_anchors_are_put_in_pairs():
    weights = dict(blank('oim'))
    weights['rpn.rpn_cls_score.bias'] = torch.arange(18.0)
    weights['unlabeled_matching_layer.tail'] = torch.tensor(7)
    converted = convert(weights, recognise(weights), 'their.pth')
    # Of each anchor person, then background; theirs are the backgrounds of all nine first.
    pairs = [[9 + anchor, anchor] for anchor in range(9)]
    assert converted['rpn_head.rpn_cls.bias'].view(9, 2).tolist() == pairs
    assert converted['roi_head.reid_head.criterion.queue_pointer'] == 7


def test_frozen_norms_get_counters():
    """torchvision's count no batches."""
    name = 'backbone.body.layer1.0.bn1.running_var'
    weights = {name: torch.ones(2), 'gfn.fuser.norm.norm.running_var': torch.ones(2)}
    converted = convert(weights, recognise(weights), 'their.pth')
    assert converted['backbone.layer1.0.bn1.num_batches_tracked'] == 0


def test_networks_without_a_file_are_told_from_those_with():
    listed = models_of_methods()
    for family in FAMILIES:
        assert f'{family.method}_{family.backbone}_prw' in listed
    assert recognise({'backbone.body.0.0.weight': torch.zeros(1)}).method == 'seqnext'


def test_seqnext_takes_what_it_needs_of_a_file_of_gfn():
    weights = blank('gfn')
    converted = convert(weights, recognise(weights), 'their.pth')
    with torch.device('meta'):
        model = MODELS.build(load_config('seqnext_convnext-b_prw', {}).model)
    check_state_dict(model, converted, 'their.pth')
    wanted = model.state_dict()
    assert not wanted.keys() - converted.keys()
    assert all(name.startswith('scene_head.') for name in converted.keys() - wanted.keys())
