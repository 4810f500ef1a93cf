"""The whole model on several gloo ranks against one process on the concatenated batch.

The settings are those under which the two are equal: every anchor and proposal is sampled, every
image has equally many of both, and batch norm of stem and identification network is fixed. Two
patches stand beside them: `count_anchors`, and `in_float64`, because regions of an untrained
network hardly differ, so that their normalisation would magnify rounding.
"""

import zlib
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from helpers.published_names import METHODS, model_name
from helpers.published_weights import narrow_config
from helpers.ranks import run_ranks
from mmdet.models.dense_heads import rpn_head
from mmdet.models.task_modules import AnchorGenerator
from mmdet.models.task_modules.samplers import SamplingResult
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch import distributed

from mmps.registry import MODELS
from mmps.testing.scenes import random_scenes
from mmps.testing.tiny_models import slim_model

STEPS = 3
TABLES = 'roi_head.reid_head.criterion'
EVERYTHING = 10**6
SETTINGS = {
    'model__backbone__norm_eval': True,
    'model__backbone__frozen_stages': 1,
    'model__roi_head__shared_head__norm_eval': True,
    'model__roi_head__reid_head__loss__queue_size': 8,
    'model__train_cfg__rpn__sampler__num': EVERYTHING,
    'model__train_cfg__rpn__sampler__pos_fraction': 1.0,
    'model__train_cfg__rpn__assigner__pos_iou_thr': 0.5,
    'model__train_cfg__rpn__assigner__neg_iou_thr': 0.5,
    'model__train_cfg__rpn_proposal__nms_pre': 40,
    'model__train_cfg__rpn_proposal__max_per_img': 40,
    'model__train_cfg__rpn_proposal__nms__iou_threshold': 1.0,
    'model__train_cfg__rpn_proposal__min_bbox_size': -1,
    'model__train_cfg__rcnn__sampler__num': EVERYTHING,
    'model__train_cfg__rcnn__sampler__pos_fraction': 1.0,
    'model__train_cfg__rcnn__sampler__add_gt_as_proposals': False,
    'model__train_cfg__rcnn__assigner__pos_iou_thr': 0.2,
    'model__train_cfg__rcnn__assigner__neg_iou_thr': 0.2,
    'model__train_cfg__rcnn__assigner__min_pos_iou': 0.2,
}
# Ids of the people in both images of each rank.
CASES = {
    'two ranks with people': [[[0, 3, -1], [0]], [[0, -1], [2]]],
    'a rank without people': [[[], []], [[1, 1], [-1, 4]]],
    'a rank with unlabelled people only': [[[-1, -1], [-1]], [[2, 0], []]],
    'nobody anywhere': [[[], []], [[], []]],
    'four ranks': [[[-1, 4], [4]], [[], []], [[-1], [-1]], [[0, 4], [3, 2, 2]]],
}


def new_model():
    torch.manual_seed(0)
    model = MODELS.build(slim_model(**SETTINGS))
    model.init_weights()
    # Far from the identity, so that the warp has gradients of every person.
    torch.nn.init.normal_(model.neck.transformer.localisation[-1].weight, std=0.01)
    criterion = model.roi_head.reid_head.criterion
    for table in (criterion.lut, criterion.queue):  # empty ones have no gradient
        table.copy_(F.normalize(torch.randn_like(table)))
    return model.double()


def batch(case, rank, step):
    with torch.random.fork_rng():
        torch.manual_seed(100 * step + rank)
        return random_scenes(CASES[case][rank])


def concatenated(batches):
    return {key: [row for one in batches for row in one[key]] for key in batches[0]}


def train(model, batches):
    """Gradients of every step by name, and the buffers at the end."""
    module = getattr(model, 'module', model)
    model.train()
    optimiser = torch.optim.SGD(module.parameters(), lr=1e-5)
    gradients = []
    for data in batches:
        optimiser.zero_grad()
        loss, _ = module.parse_losses(model(**module.data_preprocessor(data, True), mode='loss'))
        loss.backward()
        gradients.append({n: p.grad for n, p in module.named_parameters() if p.requires_grad})
        optimiser.step()
    return gradients, dict(module.named_buffers())


def train_rank(case):
    model = MMDistributedDataParallel(new_model(), broadcast_buffers=False)
    rank = distributed.get_rank()
    return train(model, [batch(case, rank, step) for step in range(STEPS)])


@pytest.fixture
def count_anchors(monkeypatch):
    """Normalise by the anchors sampled, where mmdet counts one more in an image without people."""
    init = SamplingResult.__init__

    def counting(self, *args, **kwargs):
        init(self, *args, **kwargs)
        self.avg_factor = len(self.pos_inds) + len(self.neg_inds)

    monkeypatch.setattr(SamplingResult, '__init__', counting)


@pytest.fixture
def in_float64(monkeypatch):
    """Let what would be taken to float32 stay float64; NMS alone knows no float64 on CPUs."""
    to_float32, nms = torch.Tensor.float, rpn_head.batched_nms
    priors = AnchorGenerator.grid_priors
    monkeypatch.setattr(
        torch.Tensor, 'float', lambda x: x if x.dtype == torch.float64 else to_float32(x)
    )
    monkeypatch.setattr(
        rpn_head,
        'batched_nms',
        lambda boxes, scores, *args: nms(to_float32(boxes), to_float32(scores), *args),
    )
    monkeypatch.setattr(
        AnchorGenerator,
        'grid_priors',
        lambda *args, **kwargs: [level.double() for level in priors(*args, **kwargs)],
    )


@pytest.mark.usefixtures('count_anchors', 'in_float64')
@pytest.mark.parametrize('case', CASES)
def test_ranks_equal_one_process_on_the_concatenated_batch(case, tmp_path):
    world_size = len(CASES[case])
    ranks = run_ranks(train_rank, world_size, tmp_path, case)
    gradients, buffers = train(
        new_model(),
        [
            concatenated([batch(case, rank, step) for rank in range(world_size)])
            for step in range(STEPS)
        ],
    )
    start = dict(new_model().named_buffers())
    for found, found_buffers in ranks:
        for step in range(STEPS):
            assert found[step].keys() == gradients[step].keys()
            for name, grad in gradients[step].items():
                error = (found[step][name] - grad).abs().max()
                assert error <= 1e-6 * grad.abs().max() + 1e-9, (step, name)
        for name, buffer in buffers.items():
            torch.testing.assert_close(found_buffers[name], buffer, atol=1e-6, rtol=1e-6)
            assert torch.equal(found_buffers[name], ranks[0][1][name])
        for name in (f'{TABLES}.{table}' for table in ('lut', 'queue', 'queue_pointer')):
            moved = buffers[name] != start[name]
            assert torch.equal(found_buffers[name] != start[name], moved)


@pytest.mark.usefixtures('in_float64')
def test_the_cases_are_what_they_say():
    """Cases in which nobody was matched with a region would compare zeros."""
    model = new_model()
    start = {name: buffer.clone() for name, buffer in model.named_buffers()}
    gradients, buffers = train(model, [batch('two ranks with people', 0, 0)])
    assert gradients[0]['roi_head.reid_head.project.weight'].abs().max() > 1e-4
    assert gradients[0]['neck.transformer.localisation.1.weight'].abs().max() > 0
    moved = (buffers[f'{TABLES}.lut'] != start[f'{TABLES}.lut']).any(1)
    assert moved[0] and not moved[[1, 2, 4]].any()
    assert buffers[f'{TABLES}.queue_pointer'] > 0


def methods_rank(configs):
    """Of every published method, after a step: digests of what has to be equal, which parameters
    have moved, and the identities in its tables.
    """
    found = {}
    rank = distributed.get_rank()
    for name, config in configs.items():
        torch.manual_seed(0)
        config.model.train_cfg.rcnn.sampler.num = 32  # everybody among them
        model = MODELS.build(config.model)
        before = {n: p.detach().clone() for n, p in model.named_parameters()}
        ddp = MMDistributedDataParallel(model, broadcast_buffers=False)
        optimiser = Runner.build_optim_wrapper(SimpleNamespace(model=model), config.optim_wrapper)
        ddp.train().train_step(batch('two ranks with people', rank, 0), optimiser)
        after = dict(model.named_parameters())
        tables = {n: b for n, b in model.named_buffers() if 'criterion' in n or 'length_norm' in n}
        assert all(value.isfinite().all() for value in after.values())
        found[name] = (
            {n: zlib.crc32(v.detach().numpy().tobytes()) for n, v in (after | tables).items()},
            {n for n, value in after.items() if not torch.equal(value, before[n])},
            [t.any(1).nonzero().flatten().tolist() for n, t in tables.items() if n.endswith('lut')],
        )
    return found


@pytest.fixture(scope='module')
def methods(tmp_path_factory):
    """What two ranks made of every published method."""
    init_default_scope('mmps')
    configs = {name: narrow_config(name) for name in map(model_name, METHODS)}
    return run_ranks(methods_rank, 2, tmp_path_factory.mktemp('methods'), configs)


@pytest.mark.parametrize('method', METHODS)
def test_published_methods_learn_on_two_ranks(method, methods):
    """Both ranks end with the same weights and tables."""
    (digests, moved, luts), other = (rank[model_name(method)] for rank in methods)
    assert (digests, moved, luts) == other
    for part in ('backbone', 'rpn_head', 'roi_head'):
        assert any(name.startswith(part) for name in moved)
    # People 0, 2 and 3 are in the pictures of one rank or the other.
    assert luts and all(lut == [0, 2, 3] for lut in luts)
