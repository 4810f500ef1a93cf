"""Fast forms beside the plain ones: whole networks, then each form."""

import copy
import multiprocessing
import os
import runpy
import threading

import pytest
import torch
import torch.nn.functional as F
from helpers.norms import randomise_norms
from helpers.slim_person_search import build, losses, predict
from mmcv.ops import RoIAlign, RoIPool
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmps.models.backbones import DenseNet
from mmps.models.backbones.densenet import DenseBlock, Transition
from mmps.models.backbones.googlenet import ConvNormReLU, Inception
from mmps.models.layers import fast
from mmps.models.layers.fast import (
    RegionAlign,
    RegionsOfMap,
    align_regions,
    can_fold,
    extract,
    plain_layers,
)
from mmps.models.roi_heads import FineRoIExtractor
from mmps.registry import MODELS
from mmps.testing.scenes import random_scenes
from mmps.testing.tiny_models import PLUS, slim_sequential

RUNNING = dict(
    model__backbone__norm_eval=True,
    model__roi_head__shared_head__norm_eval=True,
)


def of_width(channels, stem, network, width):
    """Parts of a model whose stem and identification network have so many channels."""
    return dict(
        model__backbone=dict(stem, _delete_=True),
        model__roi_head__shared_head=dict(network, _delete_=True),
        model__neck__in_channels=channels,
        model__rpn_head__in_channels=channels,
        model__roi_head__bbox_roi_extractor__out_channels=channels,
        model__roi_head__bbox_head__in_channels=width,
    )


GOOGLENET = of_width(
    104,
    dict(type='GoogLeNet', width=0.125, norm_eval=True),
    dict(type='GoogLeNetIdentification', in_channels=104, width=0.125),
    128,
)
RESNET = of_width(
    64,
    dict(
        type='ResNet',
        depth=18,
        base_channels=16,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(2,),
    ),
    dict(type='ResLayer', depth=18, stage=1, stride=1),
    128,
)
NETWORKS = {
    'statistics of the batch': {},
    'running statistics': RUNNING,
    're-ID network of its own': RUNNING | PLUS,
    'checkpointing': RUNNING | dict(model__backbone__with_cp=True),
    'GoogLeNet': GOOGLENET,
    'ResNet': RESNET,
}
USED = {
    'statistics of the batch': {'norm_conv_pool', 'embedding_bag', 'dense_block', 'conv_norm'},
    'GoogLeNet': {'embedding_bag', 'conv_norm'},
    'ResNet': {'embedding_bag'},
}
"""What of the fast forms a network goes through; the others as the first."""


def two_steps(overrides, start):
    """Losses, weights and gradients of a seeded training of two steps, and what it finds then."""
    model = build(**overrides)
    model.load_state_dict(start)
    torch.manual_seed(0)
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    found = {}
    for step in range(2):
        parts = losses(model.train(), [[0, 1, -1], [2, 3]])
        total, named = model.parse_losses(parts)
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        found |= {f'{name} {step}': value.detach() for name, value in named.items()}
        found |= {f'{n} grad {step}': p.grad.clone() for n, p in model.named_parameters()}
    found |= {name: value.clone() for name, value in model.state_dict().items()}
    for i, sample in enumerate(predict(model, random_scenes([[0, 1], []], queries=[[1], []]))):
        found |= {f'{name} {i}': value for name, value in sample.pred_instances.items()}
        found[f'queries {i}'] = sample.query_instances.embeddings
    return found


@pytest.mark.parametrize('name', NETWORKS)
def test_whole_networks_are_the_plain_ones(name, monkeypatch):
    used = set()
    for module, function in (
        *((fast, each) for each in ('dense_block', 'norm_conv_pool', 'conv_norm')),
        (F, 'embedding_bag'),
    ):
        original = getattr(module, function)
        monkeypatch.setattr(
            module, function, lambda *a, f=function, o=original, **k: used.add(f) or o(*a, **k)
        )
    # Weights are drawn in the order of their memory, which channels-last changes.
    model = build(**NETWORKS[name])
    # Scores far apart, so that rounding does not change which proposals are drawn.
    nn.init.normal_(model.rpn_head.rpn_cls.weight)
    start = copy.deepcopy(model.state_dict())
    with plain_layers():
        expected = two_steps(NETWORKS[name], start)
    assert not used
    found = two_steps(NETWORKS[name], start)
    assert used == USED.get(name, USED['statistics of the batch'])
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        scale = float(value.abs().max()) if value.numel() else 0.0
        torch.testing.assert_close(found[key], value, atol=1e-4 + 1e-3 * scale, rtol=0, msg=key)


@pytest.mark.parametrize(
    ('value', 'off'),
    [
        ('', set()),
        ('0', set()),
        ('1', set(fast.FORMS)),
        ('folding, parts', {'folding', 'parts'}),
    ],
)
def test_the_switch_is_read_from_the_environment(value, off, monkeypatch):
    monkeypatch.setenv('MMPS_PLAIN_LAYERS', value)
    is_on = runpy.run_path(fast.__file__)['is_on']
    assert {form for form in fast.FORMS if not is_on(form)} == off


def test_forms_that_are_not_there(monkeypatch):
    monkeypatch.setenv('MMPS_PLAIN_LAYERS', 'folding,speed')
    with pytest.raises(ValueError, match='MMPS_PLAIN_LAYERS=folding,speed: 1, 0 or some of dense'):
        runpy.run_path(fast.__file__)


def test_forms_come_back():
    with pytest.raises(KeyError), plain_layers('parts'):
        assert not fast.is_on('parts') and fast.is_on('folding')
        raise KeyError
    assert fast.is_on('parts')


def test_memory_format_is_that_of_the_switch():
    for forms, expected in ((('channels_last',), False), (('parts',), True)):
        with plain_layers(*forms):
            weight = build().backbone.features.conv0.weight
        assert weight.is_contiguous(memory_format=torch.channels_last) == expected


def gradients(block, x, weights):
    x = x.clone().requires_grad_()
    block.zero_grad()
    out = block(x)
    (out * weights).sum().backward()
    return {'out': out.detach(), 'x': x.grad, **{n: p.grad for n, p in block.named_parameters()}}


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_dense_block_has_the_values_and_gradients_of_the_plain_one(memory_format):
    block = randomise_norms(DenseBlock(6, 3, 4))
    block.denselayer1.norm1.bias.data[0] = 1
    x = torch.randn(2, 6, 5, 7).contiguous(memory_format=memory_format)
    weights = torch.randn(2, 18, 5, 7)
    found = gradients(block, x, weights)
    with plain_layers('dense_block'):
        expected = gradients(block, x, weights)
    assert found.keys() == expected.keys() and len(found) == 2 + 3 * 6
    for name, value in expected.items():
        scale = float(value.abs().max())
        torch.testing.assert_close(found[name], value, atol=1e-5 * scale, rtol=0)
    # A scale of 0 has a gradient too, or it would never train.
    assert found['denselayer1.norm1.weight'][0] != 0


def test_statistics_of_the_batch_are_used_in_training_mode():
    block = DenseBlock(6, 2, 4).train()
    x = torch.randn(2, 6, 5, 7)
    out = block(x)
    assert block.denselayer1.norm1.num_batches_tracked == 1
    with plain_layers():
        assert torch.equal(out, block(x))


def test_keeps_little_for_the_backward_pass():
    """The map, and the input of each 3 x 3 convolution: not what grows with the square."""
    block = DenseBlock(8, 12, 2).eval()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        block(torch.randn(4, 8, 16, 16))
    sizes = {t.data_ptr(): t.numel() for t in kept if t.dim() == 4 and t.shape[1:3] != (1, 1)}
    weights = sum(p.numel() for p in block.parameters())
    activations = 4 * 16 * 16 * ((8 + 12 * 2) + 12 * 8)
    assert activations <= sum(sizes.values()) <= activations + weights


def test_memory_format_of_the_map():
    with torch.no_grad():
        out = nn.Sequential(DenseBlock(4, 1, 2)).eval()(torch.rand(1, 4, 3, 3))
    assert out.is_contiguous(memory_format=torch.channels_last)


MODULES = {
    'pooling transition': (lambda: Transition(12), (12, 9, 7)),
    'last transition': (lambda: Transition(12, pool=False), (12, 9, 7)),
    'convolution, norm, ReLU': (lambda: ConvNormReLU(3, 8, 3, stride=2, padding=1), (3, 9, 7)),
    'inception': (lambda: Inception(12, (4, 3, 4, 3, 4, 4)), (12, 9, 7)),
    'stem': (lambda: DenseNet((1, 1, 1), 4, 0.5, 8), (3, 64, 32)),
}


@pytest.mark.parametrize('name', MODULES)
@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_folded_equals_layer_after_layer(name, memory_format):
    build, shape = MODULES[name]
    module = randomise_norms(build())
    x = torch.randn(2, *shape).contiguous(memory_format=memory_format)
    with torch.no_grad():
        assert can_fold(x, module)
        found = module(x)
        with plain_layers():
            expected = module.double()(x.double())
    if isinstance(found, tuple):
        (found,), (expected,) = found, expected
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)


def test_folds_only_what_needs_neither_gradients_nor_statistics():
    block, x = DenseBlock(4, 1, 2), torch.rand(1, 4, 3, 3)
    assert not can_fold(x, block.eval())
    with torch.no_grad():
        assert can_fold(x, block)
        assert not can_fold(x.double(), block)
        assert not can_fold(x, block.train())
        with torch.autocast('cpu'):
            assert not can_fold(x, block.eval())
    assert can_fold(x, block.requires_grad_(False))
    assert not can_fold(x.requires_grad_(), block)
    with plain_layers('folding'):
        assert not can_fold(x.detach(), block)


def regions(count=40):
    """RoIs on two images of 480 x 320: inside, across the border, outside, without area."""
    corners = torch.rand(count, 2) * torch.tensor([600.0, 420.0]) - 60
    sides = torch.rand(count, 2) * 200
    sides[:3] = 0
    return torch.cat([torch.randint(2, (count, 1)).float(), corners, corners + sides], 1)


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_equals_mmcv_with_gradients(aligned, memory_format):
    layer = RoIAlign((5, 3), 1 / 16, sampling_ratio=2, aligned=aligned)
    rois = regions()
    x = torch.randn(2, 8, 20, 30, requires_grad=True)
    expected = layer(x, rois)
    weights = torch.randn_like(expected)
    (expected * weights).sum().backward()
    y = x.detach().contiguous(memory_format=memory_format).requires_grad_()
    found = RegionAlign(layer)(y, rois)
    (found * weights).sum().backward()
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)
    torch.testing.assert_close(y.grad, x.grad, atol=1e-4, rtol=0)
    assert RegionAlign(layer)(y, rois[:0]).shape == (0, 8, 5, 3)


def test_leaves_other_layers_to_mmcv():
    x = torch.randn(2, 8, 20, 30).contiguous(memory_format=torch.channels_last)
    rois = regions()
    for layer in (
        RoIAlign(4, 1 / 16, sampling_ratio=0),
        RoIAlign(4, 1 / 16, sampling_ratio=2, pool_mode='max'),
    ):
        torch.testing.assert_close(RegionAlign(layer)(x, rois), layer(x.contiguous(), rois))
    assert not RegionAlign(RoIPool(4, 1 / 16)).as_rows


def test_every_layer_of_an_extractor_and_maps_of_16_bits():
    layer = dict(type='RoIAlign', output_size=4, sampling_ratio=1)
    extractor = align_regions(FineRoIExtractor(layer, out_channels=8, fine_channels=4))
    assert sum(isinstance(m, RegionAlign) for m in extractor.modules()) == 2
    nn.init.ones_(extractor.lateral.weight)
    maps = torch.randn(2, 8, 20, 30).bfloat16(), torch.randn(2, 4, 40, 60).bfloat16()
    rois = regions()
    found = extract(extractor, maps, rois)
    assert found.dtype == torch.bfloat16
    exact = extractor([m.float() for m in maps], rois)
    torch.testing.assert_close(found.float(), exact, atol=0.05, rtol=0.01)


@pytest.mark.parametrize('form', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('off', ['region_align', 'folding'])
def test_regions_have_the_memory_format_of_the_maps(form, off):
    layer = dict(type='RoIAlign', output_size=4, sampling_ratio=1)
    extractor = align_regions(FineRoIExtractor(layer, out_channels=8, fine_channels=4))
    maps = torch.randn(2, 8, 20, 30), torch.randn(2, 4, 40, 60)
    maps = tuple(feats.contiguous(memory_format=form) for feats in maps)
    with plain_layers(off):
        assert extract(extractor, maps, regions()).is_contiguous(memory_format=form)


def test_a_box_that_is_not_a_number_holds_nothing():
    """A training that diverges has to reach the hook that says so."""
    layer = RegionAlign(RoIAlign(4, spatial_scale=0.25, sampling_ratio=2))
    rois = torch.tensor([[0.0, float('nan'), 2, 30, 40], [0, float('-inf'), 2, float('inf'), 40]])
    assert torch.equal(layer(torch.ones(1, 3, 12, 16), rois), torch.zeros(2, 3, 4, 4))


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)
    fast._workers(2, os.getpid()).shutdown()
    fast._workers.cache_clear()


def state():
    """What a thread has switched on."""
    return (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled('cpu') and torch.get_autocast_dtype('cpu'),
    )


@pytest.mark.parametrize(
    'context',
    [torch.no_grad, torch.inference_mode, lambda: torch.autocast('cpu', torch.float16)],
)
def test_parts_in_threads_of_their_own(context, two_threads):
    rois = torch.arange(150.0).repeat(5, 1).T
    meet = threading.Barrier(2)

    def part(some):
        meet.wait(timeout=20)  # each with one of the other thread
        return threading.get_ident(), torch.get_num_threads(), state(), some

    with torch.no_grad(), context():
        found = fast.of_parts(part, rois)
        threads, counts, states, parts = zip(*found, strict=True)
        assert set(states) == {state()}
    assert len(set(threads)) == 2 and threading.get_ident() not in threads
    assert set(counts) == {1} and torch.get_num_threads() == 2
    assert [len(some) for some in parts] == [38, 38, 37, 37]
    assert torch.equal(torch.cat(parts), rois)


def caller_alone(rois):
    return set(fast.of_parts(lambda _: threading.get_ident(), rois)) == {threading.get_ident()}


def test_parts_that_stay_with_the_caller(two_threads):
    rois = torch.rand(100, 5)
    assert caller_alone(rois)  # gradients are wanted
    with torch.no_grad():
        assert caller_alone(rois[:63])
        for form in ('workers', 'parts'):
            with plain_layers(form):
                assert caller_alone(rois)
        torch.set_num_threads(4)
        assert caller_alone(rois)
        torch.set_num_threads(1)
        assert caller_alone(rois)


@torch.no_grad()
def test_a_part_that_fails_ends_all(two_threads):
    with pytest.raises(KeyError, match='in a part'):
        fast.of_parts(lambda _: {}['in a part'], torch.rand(100, 5))


@torch.no_grad()
def test_a_forked_process_has_threads_of_its_own(two_threads):
    def answer():
        return torch.cat(fast.of_parts(lambda some: some[:, 1], rois))

    rois = torch.rand(100, 5)
    assert torch.equal(answer(), rois[:, 1])
    child = multiprocessing.get_context('fork').Process(
        target=lambda: os._exit(0 if torch.equal(answer(), rois[:, 1]) else 1)
    )
    child.start()
    child.join(timeout=30)
    child.kill()
    assert child.exitcode == 0


SHARED = dict(type='ResLayer', depth=50, stage=1, stride=2, norm_eval=False)


@pytest.fixture
def sequential():
    """A head of two stages of a layer of ResNet-50, the second of which embeds, and a map."""
    config = slim_sequential('seqnet/seqnet_r50_prw.py')
    config.roi_head.bbox_roi_extractor.update(out_channels=256)
    config.roi_head.bbox_roi_extractor.roi_layer.output_size = 7
    for stage in config.roi_head.stages:
        stage.shared_head.network = SHARED
        stage.bbox_head.in_channels = 512
    config.roi_head.reid_head.in_channels = 256, 512
    head = MODELS.build(config).roi_head.eval()
    randomise_norms(head)
    return head, (torch.randn(2, 256, 3, 5).to(memory_format=torch.channels_last),)


def test_a_region_network_begins_on_the_map(sequential, monkeypatch):
    head, x = sequential
    corners = torch.rand(2, 6, 2) * torch.tensor([60.0, 30.0]) - 8  # some lie beyond the map
    boxes = list(torch.cat([corners, corners + 20], 2))
    calls = []
    call = fast.RegionsOfMap.__call__
    monkeypatch.setattr(
        fast.RegionsOfMap, '__call__', lambda *given: calls.append(1) or call(*given)
    )

    @torch.no_grad()
    def answer():
        found = head._results(head.stages[0], x, boxes, embed=False)
        return [one.bbox_pred for one in found], head.embed(x, boxes)

    with FlopCounterMode(display=False) as counter:
        deltas, embeddings = answer()
    operations = counter.get_total_flops()
    assert len(calls) == 2
    with plain_layers('region_conv'), FlopCounterMode(display=False) as counter:
        plain_deltas, plain_embeddings = answer()
    assert len(calls) == 2
    assert operations < 0.9 * counter.get_total_flops()
    for one, other in zip(deltas + embeddings, plain_deltas + plain_embeddings, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_heads_answer_the_same_from_threads(sequential, two_threads, monkeypatch):
    monkeypatch.setattr(fast, 'LEAST_FOR_A_WORKER', 10)
    corners = torch.rand(2, 10, 2) * torch.tensor([40.0, 20.0])
    boxes = list(torch.cat([corners, corners + 20], 2))
    one_stage = build().roi_head.eval()
    channels = one_stage.bbox_roi_extractor.out_channels
    asked = []
    workers = fast._workers
    monkeypatch.setattr(fast, '_workers', lambda *given: asked.append(1) or workers(*given))
    for head, x in (sequential, (one_stage, (torch.randn(2, channels, 3, 5),))):
        found = head.embed(x, boxes)
        with plain_layers('workers'):
            expected = head.embed(x, boxes)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert len(asked) == 2
    monkeypatch.undo()


def test_begins_on_the_map_only_where_it_pays_and_may(sequential):
    head, x = sequential
    extractor, network = head.bbox_roi_extractor, head.stages[0].shared_head.network
    with torch.no_grad():
        assert RegionsOfMap.serves(extractor, network, x[0], count=12)
        # 30 positions of 128 and 512 channels against 49 and 16 bins of a region.
        assert not RegionsOfMap.serves(extractor, network, x[0], count=1)
        assert not RegionsOfMap.serves(extractor, nn.Identity(), x[0], count=12)
        network.train()
        assert not RegionsOfMap.serves(extractor, network, x[0], count=12)
        network.eval()
    assert not RegionsOfMap.serves(extractor, network, x[0], count=12)  # with gradients
