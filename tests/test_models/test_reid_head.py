import pytest
import torch

from mmps.models.roi_heads import ReIDHead


def head(**kwargs) -> ReIDHead:
    return ReIDHead(in_channels=6, num_ids=4, embed_dim=8, **kwargs)


@pytest.mark.parametrize('people', [0, 1, 5])
@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('norm', [True, False])
def test_unit_norm_for_any_number_of_people(people, training, norm):
    embeddings = head(norm=norm).train(training)(torch.randn(people, 6, 4, 2))
    assert embeddings.shape == (people, 8)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(people))


def test_embeddings_in_evaluation_mode_do_not_depend_on_the_others():
    """Batch norm left in training mode would tie people of a batch together."""
    model = head()
    model(torch.randn(16, 6, 4, 2))
    model.eval()
    feats = torch.randn(5, 6, 4, 2)
    torch.testing.assert_close(model(feats)[:2], model(feats[:2]))


def test_stripes_see_where_something_is():
    feats = torch.zeros(2, 6, 6, 2)
    feats[0, :, 0], feats[1, :, 5] = 1, 1
    one, three = head().eval()(feats), head(stripes=3).eval()(feats)
    torch.testing.assert_close(one[0], one[1])
    assert not torch.allclose(three[0], three[1])


def test_weight_and_warm_up():
    feats, ids = torch.randn(4, 6, 4, 2), torch.tensor([0, 1, 2, -1])
    plain = head()
    warm = head(loss_weight=0.5, loss_warmup=4)
    warm.load_state_dict(plain.state_dict())
    expected = plain.loss(feats, ids)['loss_reid']
    assert warm.loss(feats, ids)['loss_reid'] == 0
    warm.batches_trained.fill_(2)
    warm.criterion.load_state_dict(head().criterion.state_dict())
    assert warm.loss(feats, ids)['loss_reid'].item() == pytest.approx(expected.item() * 0.25)
    assert int(warm.batches_trained) == 3


def test_the_length_of_an_embedding_tells_a_person():
    model = head(norm_aware=True).eval()
    unscaled = model.unscaled(torch.randn(5, 6, 4, 2))
    lengths = unscaled.norm(dim=1)
    torch.testing.assert_close(model.person_logit(unscaled).argsort(), lengths.argsort())
    assert model.person_logit(unscaled[:0]).shape == (0,)


@pytest.mark.parametrize('ids', [[], [-1], [-1, -1]])
def test_without_labelled_people_every_parameter_still_gets_a_gradient(ids):
    model = head()
    feats = torch.randn(len(ids), 6, 4, 2)
    loss = model.loss(feats, torch.tensor(ids, dtype=torch.long))['loss_reid']
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
