import pytest
import torch
import torch.nn.functional as F

from mmps.models.layers import AttentiveStripePool
from mmps.models.roi_heads import ReIDHead


@pytest.fixture
def trained():
    """A pool whose weights are no longer even."""
    torch.manual_seed(0)
    pool = AttentiveStripePool(6, stripes=3)
    torch.nn.init.normal_(pool.logits[-1].weight)
    return pool


def test_it_starts_as_average_pooling():
    x = torch.randn(5, 6, 7, 2)
    got = AttentiveStripePool(6, stripes=3)(x)
    torch.testing.assert_close(got, F.adaptive_avg_pool2d(x, (3, 1)))


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
