"""Several gloo ranks against one process on the concatenated batch."""

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from helpers.ranks import run_ranks

from mmps.models.losses import OIMLoss

STEPS = 3
CASES = {
    'both ranks have people': [[0, 3, -1, 0], [0, -1, 2]],
    'a rank has no people': [[], [1, 1, -1, -1]],
    'a rank has unlabelled people only': [[-1, -1], [2, 0]],
    'no rank has people': [[], []],
    'four ranks, queue overrun': [[-1, -1, 4], [-1, 0], [], [0, -1, -1, 4, -1]],
}


def batch(case, rank, step):
    generator = torch.Generator().manual_seed(100 * step + rank)
    ids = CASES[case][rank]
    return torch.randn(len(ids), 6, generator=generator), torch.tensor(ids, dtype=torch.long)


def run(loss, weight, raw, person_ids):
    """Gradient of a shared layer, and the tables after the step."""
    weight.grad = None
    loss(F.normalize(raw @ weight), person_ids).backward()
    return weight.grad


def new_model():
    torch.manual_seed(0)
    return OIMLoss(num_ids=5, embed_dim=6, queue_size=4), torch.randn(6, 6, requires_grad=True)


def train(case):
    rank, world_size = dist.get_rank(), dist.get_world_size()
    loss, weight = new_model()
    grads = []
    for step in range(STEPS):
        grad = run(loss, weight, *batch(case, rank, step))
        dist.all_reduce(grad)
        grads.append(grad / world_size)  # what DistributedDataParallel does
    return loss.state_dict(), grads


@pytest.mark.parametrize('case', CASES)
def test_ranks_equal_one_process_on_the_concatenated_batch(case, tmp_path):
    world_size = len(CASES[case])
    ranks = run_ranks(train, world_size, tmp_path, case)
    loss, weight = new_model()
    expected = []
    for step in range(STEPS):
        parts = [batch(case, rank, step) for rank in range(world_size)]
        raw, ids = (torch.cat(part) for part in zip(*parts, strict=True))
        expected.append(run(loss, weight, raw, ids).clone())
    first, _ = ranks[0]
    for state, grads in ranks:
        assert all(torch.equal(first[name], state[name]) for name in first)
        assert torch.equal(state['queue_pointer'], loss.queue_pointer)
        torch.testing.assert_close(state['lut'], loss.lut, atol=1e-6, rtol=0)
        torch.testing.assert_close(state['queue'], loss.queue, atol=1e-6, rtol=0)
        for grad, one in zip(grads, expected, strict=True):
            torch.testing.assert_close(grad, one, atol=1e-5, rtol=1e-5)
