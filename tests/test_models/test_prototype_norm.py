import pytest
import torch

from mmps.models.layers import PrototypeNorm


def test_mean_of_prototypes_and_variance_of_all_rows_by_hand():
    """Person 3 twice, two unlabelled ones, and background twice: four prototypes."""
    rows = torch.tensor([[2.0], [4.0], [5.0], [9.0], [1.0], [-1.0]])
    ids = torch.tensor([3, 3, -1, -1, -2, -2])
    norm = PrototypeNorm(1, affine=False)
    normalised = norm(rows, ids)
    mean = (3 + 5 + 9 + 0) / 4
    variance = ((rows - mean) ** 2).mean()
    torch.testing.assert_close(normalised, (rows - mean) / (variance + 1e-5).sqrt())
    torch.testing.assert_close(norm.running_mean, torch.tensor([0.1 * mean]))
    expected = (0.9 + 0.1 * variance * 6 / 5).reshape(1)
    torch.testing.assert_close(norm.running_var, expected)


def test_of_people_seen_once_it_is_batch_norm():
    rows, ids = torch.randn(7, 5), torch.tensor([0, 1, 2, -1, -1, 5, -2])
    norm, plain = PrototypeNorm(5), torch.nn.BatchNorm1d(5)
    torch.testing.assert_close(norm(rows, ids), plain(rows))
    torch.testing.assert_close(norm.state_dict(), plain.state_dict())
    torch.testing.assert_close(norm.eval()(rows), plain.eval()(rows))


def test_without_ids_it_takes_running_statistics():
    norm = PrototypeNorm(2, affine=False)
    rows = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    torch.testing.assert_close(norm(rows), rows / (1 + 1e-5) ** 0.5)
    assert norm.num_batches_tracked == 0
    with pytest.raises(ValueError, match='rows expected, got 4 axes'):
        norm(torch.zeros(1, 2, 3, 3))
