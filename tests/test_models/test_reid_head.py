import pytest
import torch
import torch.nn.functional as F

from mmps.models.roi_heads import ReIDHead
from mmps.models.roi_heads.reid_head import AttentiveStripePool


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


@pytest.fixture
def trained():
    """A pool whose weights are no longer even."""
    torch.manual_seed(0)
    pool = AttentiveStripePool(6, stripes=3)
    torch.nn.init.normal_(pool.logits[-1].weight)
    return pool


def test_a_stripe_is_the_mean_weighted_by_the_softmax_of_its_places(trained):
    x = torch.randn(5, 6, 12, 4)
    logits = trained.logits(x).reshape(5, 1, 3, 16)
    want = (x.reshape(5, 6, 3, 16) * logits.softmax(-1)).sum(-1, keepdim=True)
    torch.testing.assert_close(trained(x), want)
    assert not torch.allclose(want, F.adaptive_avg_pool2d(x, (3, 1)), atol=0.05)


def test_a_stripe_that_is_hardly_looked_at_still_has_a_mean(trained):
    trained.logits = torch.nn.Identity()
    x = torch.zeros(1, 1, 6, 2)
    x[:, :, :2], x[:, :, 2:4] = 500, -500
    torch.testing.assert_close(trained(x), torch.tensor([500.0, -500, 0]).reshape(1, 1, 3, 1))


def test_nobody_and_gradients(trained):
    assert trained(torch.rand(0, 6, 12, 4)).shape == (0, 6, 3, 1)
    trained(torch.randn(2, 6, 12, 4)).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in trained.logits[-1].parameters() if p.dim() > 1)


def test_the_head_takes_it_when_asked():
    head = ReIDHead(in_channels=6, num_ids=4, embed_dim=8, stripes=3, stripe_attention=True)
    plain = ReIDHead(in_channels=6, num_ids=4, embed_dim=8, stripes=3)
    assert {k.split('.')[0] for k in head.state_dict().keys() - plain.state_dict().keys()} == {
        'pool'
    }
    head.load_state_dict(plain.state_dict(), strict=False)
    feats = torch.randn(3, 6, 12, 4)
    torch.testing.assert_close(head.eval()(feats), plain.eval()(feats))
