"""Files with the published networks' key names; the weights themselves are random."""

import re

import pytest
import torch
from mmdet.models.backbones import ResNet
from mmdet.models.roi_heads.shared_heads import ResLayer

from mmps.models.backbones import (
    DenseNet,
    DenseNetIdentification,
    GoogLeNet,
    GoogLeNetIdentification,
)
from mmps.models.pretrained import load_imagenet_weights


def densenet():
    return DenseNet((1, 1, 1), 4, 0.5, 8), DenseNetIdentification(4, 2, 4)


def googlenet():
    return GoogLeNet(0.05), GoogLeNetIdentification(42, 0.05)


def resnet50():
    stages = dict(num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,))
    return ResNet(50, base_channels=4, **stages), ResLayer(50)


NETWORKS = {
    'densenet121': (densenet, ['classifier.weight', 'classifier.bias']),
    'googlenet': (
        googlenet,
        ['fc.weight', 'fc.bias', 'aux1.conv.conv.weight', 'aux2.fc2.bias'],
    ),
    'resnet50': (resnet50, ['fc.weight', 'fc.bias']),
}


def published(stem, identification, classifier):
    """The state a published file has: both parts of the network and its classifier."""
    state = {**stem.state_dict(), **identification.state_dict()}
    state = {key: torch.randn(value.shape).to(value.dtype) for key, value in state.items()}
    return {**state, **{key: torch.randn(3) for key in classifier}}


@pytest.mark.parametrize('name', NETWORKS)
def test_every_weight_is_loaded(name, tmp_path):
    make, classifier = NETWORKS[name]
    stem, head = make()
    state = published(stem, head, classifier)
    torch.save(state, tmp_path / 'weights.pth')
    load_imagenet_weights(stem, [head], str(tmp_path / 'weights.pth'))
    loaded = {**stem.state_dict(), **head.state_dict()}
    assert loaded.keys() == state.keys() - set(classifier)
    assert all(torch.equal(loaded[key], state[key]) for key in loaded)


def test_spelling_and_missing_counters_of_the_published_densenet_file(tmp_path):
    stem, head = densenet()
    state = published(stem, head, ['classifier.weight'])
    old = {
        re.sub(r'(denselayer\d+\.(?:norm|conv))(\d)', r'\1.\2', key): value
        for key, value in state.items()
        if not key.endswith('num_batches_tracked')
    }
    assert 'features.denseblock1.denselayer1.norm.1.weight' in old
    torch.save(old, tmp_path / 'densenet121.pth')
    load_imagenet_weights(stem, [head], str(tmp_path / 'densenet121.pth'))
    loaded = {**stem.state_dict(), **head.state_dict()}
    for key, value in loaded.items():
        if not key.endswith('num_batches_tracked'):
            assert torch.equal(value, state[key]), key


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save(published(*googlenet(), []), tmp_path / 'weights.pth')
    stem, head = densenet()
    with pytest.raises(ValueError, match='not of DenseNet and DenseNetIdentification') as caught:
        load_imagenet_weights(stem, [head], str(tmp_path / 'weights.pth'))
    assert 'missing (features.conv0.weight' in str(caught.value)


def test_a_single_missing_weight_is_refused_before_anything_is_loaded(tmp_path):
    stem, head = densenet()
    before = stem.features.conv0.weight.clone()
    state = published(stem, head, [])
    del state['features.norm5.weight']
    torch.save(state, tmp_path / 'weights.pth')
    with pytest.raises(ValueError, match=r'1 missing \(features.norm5.weight\)'):
        load_imagenet_weights(stem, [head], str(tmp_path / 'weights.pth'))
    assert torch.equal(stem.features.conv0.weight, before)


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(OSError, match='model.pretrained=None'):
        load_imagenet_weights(DenseNet(), [], str(tmp_path / 'densenet121.pth'))


def test_all_networks_behind_the_stem_take_the_same_weights(tmp_path):
    path = str(tmp_path / 'weights.pth')
    stem, head = densenet()
    torch.save(published(stem, head, []), path)
    other = DenseNetIdentification(4, 2, 4)
    load_imagenet_weights(stem, [head, other], path)
    torch.testing.assert_close(other.state_dict(), head.state_dict())
    with pytest.raises(ValueError, match='reid_network.network .* built like it: .*denselayer2'):
        load_imagenet_weights(stem, [head, DenseNetIdentification(4, 1, 4)], path)
