import pytest
import torch
from torch import multiprocessing

from mmps.models.losses import OIMLoss

# Rows of the look-up table: two people known, one not yet.
LUT = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
EMBEDDINGS = torch.tensor([[0.8, 0.6], [0.8, -0.6], [-1.0, 0.0], [0.0, 1.0]])
PERSON_IDS = torch.tensor([0, 1, 2, -1])
# Person 0: own 0.8, other 0.6. Person 1: own -0.6, other 0.8. Person 2: own row empty, its nearest
# other row is at max(-1, 0); a cosine of exactly 0 counts as an empty row, so -1.
EXPECTED = {
    'lut_filled': 1.0,
    'queue_filled': 0.25,
    'labelled_people': 3.0,
    'own_similarity': (0.8 - 0.6) / 2,
    'other_similarity': (0.6 + 0.8 - 1.0) / 3,
}


def new_loss():
    loss = OIMLoss(num_ids=3, embed_dim=2, queue_size=4, scalar=7.0)
    loss.lut.copy_(LUT)
    return loss


def test_by_hand():
    loss = new_loss()
    loss(EMBEDDINGS, PERSON_IDS)
    assert loss.statistics.summarise(loss.lut, loss.queue) == pytest.approx(EXPECTED, abs=1e-6)
    # Every summary starts afresh.
    assert loss.statistics.summarise(loss.lut, loss.queue).keys() == {'lut_filled', 'queue_filled'}


def test_mean_over_people_of_several_steps():
    loss = new_loss()
    loss.momentum = 1.0  # the tables stay
    loss(EMBEDDINGS[:1], PERSON_IDS[:1])
    loss(EMBEDDINGS[1:2], PERSON_IDS[1:2])
    loss(EMBEDDINGS[3:], PERSON_IDS[3:])
    found = loss.statistics.summarise(loss.lut, loss.queue)
    assert found['own_similarity'] == pytest.approx(0.1, abs=1e-6)
    assert found['other_similarity'] == pytest.approx(0.7)
    assert found['labelled_people'] == pytest.approx(2 / 3)


def test_empty_tables_have_no_similarities():
    loss = OIMLoss(num_ids=3, embed_dim=2, queue_size=4)
    loss(EMBEDDINGS[:0], PERSON_IDS[:0])
    loss(EMBEDDINGS[:2], PERSON_IDS[:2])
    assert loss.statistics.summarise(loss.lut, loss.queue) == pytest.approx(
        {'lut_filled': 2 / 3, 'queue_filled': 0.0, 'labelled_people': 1.0}
    )


def test_masked_rows_count_as_empty():
    loss = new_loss()
    masked = torch.tensor([[0.6, 0.8, -torch.inf]])
    loss.statistics.update(masked, torch.tensor([2]))
    found = loss.statistics.summarise(loss.lut, loss.queue)
    assert 'own_similarity' not in found
    assert found['other_similarity'] == pytest.approx(0.8)


def test_evaluation_is_not_counted():
    loss = new_loss().eval()
    loss(EMBEDDINGS, PERSON_IDS)
    assert 'labelled_people' not in loss.statistics.summarise(loss.lut, loss.queue)


def test_no_gradient_and_nothing_in_the_checkpoint():
    loss = new_loss()
    embeddings = EMBEDDINGS.clone().requires_grad_()
    loss(embeddings, PERSON_IDS)
    assert not loss.statistics._sums.requires_grad
    assert loss.state_dict().keys() == {'lut', 'queue', 'queue_pointer'}


def worker(rank, store, folder):
    torch.set_num_threads(1)  # OpenMP does not survive a fork
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{store}', rank=rank, world_size=2
    )
    loss = new_loss()
    part = slice(0, 1) if rank == 0 else slice(1, 4)
    loss(EMBEDDINGS[part], PERSON_IDS[part])
    torch.save(loss.statistics.summarise(loss.lut, loss.queue), folder / f'{rank}.pth')
    torch.distributed.destroy_process_group()


def test_two_ranks_equal_one_process(tmp_path):
    multiprocessing.start_processes(
        worker, (tmp_path / 'store', tmp_path), nprocs=2, start_method='fork'
    )
    for rank in range(2):
        found = torch.load(tmp_path / f'{rank}.pth')
        assert found == pytest.approx(EXPECTED, abs=1e-6)
