import math

import pytest
import torch
import torch.nn.functional as F
from helpers.waits import Waits
from hypothesis import given, settings
from hypothesis import strategies as st

from mmps.models.losses import OIMLoss


def sequential_update(loss: OIMLoss, embeddings, person_ids):
    """The definition: one row after the other."""
    lut, queue, pointer = loss.lut.clone(), loss.queue.clone(), int(loss.queue_pointer)
    for embedding, person_id in zip(embeddings, person_ids.tolist(), strict=True):
        if person_id >= 0:
            mixed = loss.momentum * lut[person_id] + (1 - loss.momentum) * embedding
            lut[person_id] = F.normalize(mixed[None])[0]
        else:
            queue[pointer] = embedding
            pointer = (pointer + 1) % len(queue)
    return lut, queue, pointer


@settings(deadline=None, max_examples=60)
@given(
    ids=st.lists(st.integers(-1, 4), max_size=24),
    queue_size=st.integers(1, 7),
    momentum=st.sampled_from([0.0, 0.5, 0.9]),
    seed=st.integers(0, 1000),
)
def test_tables_equal_the_sequential_definition(ids, queue_size, momentum, seed):
    generator = torch.Generator().manual_seed(seed)
    loss = OIMLoss(num_ids=5, embed_dim=3, queue_size=queue_size, momentum=momentum)
    loss.lut.copy_(F.normalize(torch.randn(5, 3, generator=generator)))
    loss.queue_pointer.fill_(seed % queue_size)
    for _ in range(2):
        embeddings = F.normalize(torch.randn(len(ids), 3, generator=generator))
        person_ids = torch.tensor(ids, dtype=torch.long)
        lut, queue, pointer = sequential_update(loss, embeddings, person_ids)
        loss(embeddings, person_ids)
        assert torch.equal(loss.lut, lut)
        assert torch.equal(loss.queue, queue)
        assert int(loss.queue_pointer) == pointer


@pytest.mark.parametrize('options', [{}, dict(mask_unfilled=True), dict(unfilled_similarity=-1.0)])
def test_a_step_waits_for_a_gpu_once(options):
    loss = OIMLoss(num_ids=5, embed_dim=3, queue_size=4, **options)
    embeddings = F.normalize(torch.randn(9, 3)).requires_grad_()
    ids = torch.tensor([0, 1, -1, 1, 1, -1, 4, 0, -1])
    with Waits() as waits:
        assert embeddings[ids >= 0].shape == (6, 3)
    assert waits.names
    with Waits() as waits:
        loss(embeddings, ids).backward()
    assert waits.names == ['aten._local_scalar_dense.default']


def test_value_by_hand():
    loss = OIMLoss(num_ids=2, embed_dim=2, queue_size=1, scalar=2.0)
    loss.lut.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    loss.queue.copy_(torch.tensor([[-1.0, 0.0]]))
    embeddings = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    person_ids = torch.tensor([0, 1, -1])
    first = math.log(math.exp(2) + math.exp(0) + math.exp(-2)) - 2
    second = math.log(math.exp(1.2) + math.exp(1.6) + math.exp(-1.2)) - 1.6
    assert loss(embeddings, person_ids).item() == pytest.approx((first + second) / 2, rel=1e-6)


def test_unfilled_rows_can_be_left_out():
    loss = OIMLoss(num_ids=3, embed_dim=2, queue_size=2, scalar=2.0, mask_unfilled=True)
    loss.lut[0] = torch.tensor([1.0, 0.0])
    loss.queue[0] = torch.tensor([-1.0, 0.0])
    embeddings = torch.tensor([[0.6, 0.8], [0.0, 1.0]])
    # The first among its own row and the queue's; the second among these and its own, empty one.
    first = math.log(math.exp(1.2) + math.exp(-1.2)) - 1.2
    second = math.log(3)
    value = loss.eval()(embeddings, torch.tensor([0, 2]))
    assert value.item() == pytest.approx((first + second) / 2, rel=1e-6)


def test_evaluation_mode_leaves_the_tables_alone():
    loss = OIMLoss(num_ids=2, embed_dim=2, queue_size=3).eval()
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    loss(torch.eye(2), torch.tensor([1, -1]))
    assert all(torch.equal(before[name], value) for name, value in loss.state_dict().items())


@pytest.mark.parametrize('person_ids', [[], [-1], [-1, -1, -1]])
def test_no_labelled_person_gives_zero_loss_with_a_graph(person_ids):
    loss = OIMLoss(num_ids=2, embed_dim=2, queue_size=2)
    raw = torch.ones(len(person_ids), 2, requires_grad=True)
    value = loss(F.normalize(raw), torch.tensor(person_ids, dtype=torch.long))
    value.backward()
    assert value.item() == 0
    assert torch.equal(raw.grad, torch.zeros_like(raw))


def test_unlabelled_people_enter_the_queue_and_not_the_loss():
    embeddings = F.normalize(torch.randn(4, 8))
    one, both = OIMLoss(3, 8, queue_size=4), OIMLoss(3, 8, queue_size=4)
    labelled_only = one(embeddings[:2], torch.tensor([0, 2]))
    with_unlabelled = both(embeddings, torch.tensor([0, 2, -1, -1]))
    assert labelled_only.item() == pytest.approx(with_unlabelled.item())
    assert torch.equal(both.queue[:2], embeddings[2:])
    assert int(both.queue_pointer) == 2


def test_everything_a_resume_needs_is_in_the_state():
    loss = OIMLoss(num_ids=3, embed_dim=4, queue_size=5)
    loss(F.normalize(torch.randn(6, 4)), torch.tensor([0, -1, 2, -1, 0, -1]))
    other = OIMLoss(num_ids=3, embed_dim=4, queue_size=5)
    other.load_state_dict(loss.state_dict())
    assert set(loss.state_dict()) == {'lut', 'queue', 'queue_pointer'}
    embeddings, person_ids = F.normalize(torch.randn(3, 4)), torch.tensor([1, -1, 2])
    assert torch.equal(loss(embeddings, person_ids), other(embeddings, person_ids))
    assert torch.equal(loss.queue, other.queue)


def test_float32_inside_autocast():
    loss = OIMLoss(num_ids=3, embed_dim=4, queue_size=2)
    loss.lut.copy_(F.normalize(torch.randn(3, 4)))
    embeddings, person_ids = F.normalize(torch.randn(2, 4)), torch.tensor([0, 1])
    expected = loss.eval()(embeddings, person_ids)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        value = loss(embeddings, person_ids)
    assert value.dtype == torch.float32
    assert torch.equal(value, expected)


def test_gradient_survives_the_update():
    loss = OIMLoss(num_ids=3, embed_dim=4, queue_size=2)
    loss.lut.copy_(F.normalize(torch.randn(3, 4)))
    raw = torch.randn(2, 4, dtype=torch.float32, requires_grad=True)
    person_ids = torch.tensor([0, 1])
    expected = torch.autograd.grad(loss.eval()(F.normalize(raw), person_ids), raw)[0]
    actual = torch.autograd.grad(loss.train()(F.normalize(raw), person_ids), raw)[0]
    assert torch.equal(actual, expected)


def test_an_open_number_of_identities_becomes_that_of_the_weights():
    trained = OIMLoss(num_ids=3, embed_dim=2, queue_size=4)
    trained.lut.fill_(0.5)
    loss = OIMLoss(num_ids='auto', embed_dim=2, queue_size=4)
    assert loss.lut.shape == (0, 2)
    loss.load_state_dict(trained.state_dict())
    assert torch.equal(loss.lut, trained.lut)
    with pytest.raises(RuntimeError, match='size mismatch for lut'):
        OIMLoss(num_ids=2, embed_dim=2, queue_size=4).load_state_dict(trained.state_dict())


def test_unfilled_rows_have_an_assumed_similarity():
    """Of people 0 and 1 the first has a row; the queue has one row, and it is unfilled."""
    loss = OIMLoss(3, 2, queue_size=1, scalar=2.0, unfilled_similarity=-1.0).eval()
    loss.lut[0] = torch.tensor([0.6, 0.8])
    people = torch.eye(2)
    # Person 0 as (1, 0): .6 to the own row, -1 to three others. Person 1 as (0, 1): .8, 1 and -1.
    first = -0.6 * 2 + math.log(math.exp(1.2) + 3 * math.exp(-2))
    second = -2 + math.log(math.exp(1.6) + math.exp(2) + 2 * math.exp(-2))
    value = loss(people, torch.tensor([0, 1]))
    assert value.item() == pytest.approx((first + second) / 2, rel=1e-5)


def test_unlabelled_people_weaken_the_loss_if_the_mean_is_over_all_people():
    people, ids = torch.eye(4)[:3], torch.tensor([0, -1, -1])
    usual, weakened = OIMLoss(2, 4).eval(), OIMLoss(2, 4, mean_over='people').eval()
    assert weakened(people, ids).item() == pytest.approx(usual(people, ids).item() / 3)
    with pytest.raises(ValueError, match="mean_over='images'"):
        OIMLoss(2, 4, mean_over='images')


def test_loim_keeps_less_of_a_row_the_better_the_region_fits():
    """By hand: IoU .5 counts as .7, .8 as itself and 1 as .9."""
    loss = OIMLoss(num_ids=3, embed_dim=2, queue_size=1, momentum='iou')
    loss.lut.copy_(torch.tensor([[0.0, 1.0]]).expand(3, 2))
    rows = torch.tensor([[1.0, 0.0]]).expand(3, 2)
    loss(rows, torch.arange(3), torch.tensor([0.5, 0.8, 1.0]))
    expected = F.normalize(torch.tensor([[0.7, 0.3], [0.8, 0.2], [0.9, 0.1]]))
    torch.testing.assert_close(loss.lut, expected)
