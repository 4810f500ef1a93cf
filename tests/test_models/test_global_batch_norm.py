"""Batch norm over the rows of all ranks against torch's on the concatenated rows."""

import pytest
import torch
from helpers.ranks import run_ranks
from torch import distributed, nn

from mmps.models.layers import GlobalBatchNorm

STEPS = 3


def rows(count, rank, step):
    generator = torch.Generator().manual_seed(100 * step + rank)
    return 3 + torch.randn(count, 4, generator=generator)


def objective(y):
    """A loss whose gradient differs from row to row."""
    return (y * torch.linspace(-1, 1, 4) + y**2 * torch.linspace(0, 1, 4)).sum()


def new_norm(kind):
    torch.manual_seed(0)
    norm = kind(4)
    for parameter in norm.parameters():
        nn.init.uniform_(parameter)
    return norm


def train(counts):
    rank, norm = distributed.get_rank(), new_norm(GlobalBatchNorm)
    grads = []
    for step in range(STEPS):
        x = rows(counts[rank], rank, step).requires_grad_()
        objective(norm(x)).backward()
        grads.append(x.grad)
    parameters = [parameter.grad for parameter in norm.parameters()]
    return norm.state_dict(), grads, parameters


@pytest.mark.parametrize('counts', [(3, 4), (0, 5), (1, 1), (1, 0, 2, 0)])
def test_ranks_equal_torch_on_the_concatenated_rows(counts, tmp_path):
    ranks = run_ranks(train, len(counts), tmp_path, counts)
    norm = new_norm(nn.BatchNorm1d)
    for step in range(STEPS):
        x = torch.cat([rows(n, rank, step) for rank, n in enumerate(counts)]).requires_grad_()
        objective(norm(x)).backward()
        found = torch.cat([grads[step] for _, grads, _ in ranks])
        torch.testing.assert_close(found, x.grad, atol=1e-5, rtol=1e-4)
    for state, _, _ in ranks:
        assert state.keys() == norm.state_dict().keys()
        for name, value in norm.state_dict().items():
            torch.testing.assert_close(state[name], value, atol=1e-6, rtol=1e-5)
    for i, parameter in enumerate(norm.parameters()):
        total = sum(parameters[i] for _, _, parameters in ranks)
        torch.testing.assert_close(total, parameter.grad, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('counts', [(0, 1), (0, 0)])
def test_ranks_without_two_rows_use_running_statistics(counts, tmp_path):
    fresh = new_norm(GlobalBatchNorm)
    for rank, (state, grads, parameters) in enumerate(run_ranks(train, 2, tmp_path, counts)):
        assert all(map(torch.equal, state.values(), fresh.state_dict().values()))
        assert all(torch.isfinite(grad).all() for grad in grads + parameters)
        assert (parameters[0].abs().sum() > 0) == (counts[rank] > 0)


def test_one_process_is_torchs_batch_norm():
    ours, theirs = new_norm(GlobalBatchNorm), new_norm(nn.BatchNorm1d)
    x = rows(5, 0, 0)
    assert torch.equal(ours(x), theirs(x))
    assert all(map(torch.equal, ours.state_dict().values(), theirs.state_dict().values()))
    before = ours.running_mean.clone()
    assert torch.equal(ours(x[:1]), theirs.eval()(x[:1]))
    assert torch.equal(ours.running_mean, before)
    assert torch.equal(ours.eval()(x), theirs(x))


def test_statistics_are_float32_under_autocast(tmp_path):
    def autocast():
        norm = new_norm(GlobalBatchNorm)
        x = (300 + torch.randn(6, 4)).bfloat16()
        with torch.autocast('cpu', torch.bfloat16):
            return norm(x), norm.running_mean, x

    for y, mean, x in run_ranks(autocast, 2, tmp_path):
        assert y.dtype == torch.bfloat16
        torch.testing.assert_close(mean, 0.1 * x.float().mean(0))


def test_sync_bn_leaves_it_alone():
    from mmengine.model import convert_sync_batchnorm

    network = nn.Sequential(nn.BatchNorm1d(4), GlobalBatchNorm(4))
    converted = convert_sync_batchnorm(network)
    assert isinstance(converted[0], nn.SyncBatchNorm)
    assert isinstance(converted[1], GlobalBatchNorm)
