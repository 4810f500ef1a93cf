import numpy as np
import pytest
import torch

from mmps.apis.attention import attention_masks
from mmps.apis.network import TorchNetwork

BOXES = np.array([[10, 10, 60, 100], [80, 20, 120, 90]], np.float32)


@pytest.fixture
def network(tiny_model):
    config, checkpoint, _ = tiny_model
    return TorchNetwork(config, checkpoint, 'cpu')


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)


def test_masks_are_those_that_embeddings_see(network, image):
    seen = []
    attention = network.model.roi_head.focus.attention
    hook = attention.register_forward_hook(
        lambda module, inputs, output: seen.append(output / inputs[0])
    )
    network([image], [BOXES])
    hook.remove()
    masks = attention_masks(network, image, BOXES)
    assert masks.ndim == 3 and len(masks) == 2 and masks.dtype == np.float32
    ratio = seen[-1].nan_to_num(0).amax(1).numpy()
    known = ratio > 0  # some features are zero, of which nothing can be told
    assert known.any()
    np.testing.assert_allclose(masks[known], ratio[known], rtol=1e-4)


def test_a_mask_that_depends_on_the_place(network, image):
    """The part of the mask over a person is that person's, wherever the box begins."""
    whole, lower = attention_masks(
        network, image, np.array([[0, 0, 160, 120], [0, 60, 160, 120]], np.float32)
    )
    assert not np.allclose(whole, lower)


def test_warped_regions_are_taken_back(network, image):
    """With a region transformer that only shifts, the mask comes back shifted."""
    head = network.model.roi_head

    class Shift(torch.nn.Module):
        def forward(self, feats):
            theta = torch.tensor([[1.0, 0, 2 / feats.shape[3]], [0, 1, 0]])
            return feats.roll(-1, 3), theta.expand(len(feats), 2, 3)

    head.focus.region_transformer = Shift()

    class Places(torch.nn.Module):
        """A mask that is the sum of what it sees, so that it moves with it."""

        def mask(self, feats):
            return torch.sigmoid(feats.abs().mean(1, keepdim=True))

    head.focus.attention = Places()
    shifted = attention_masks(network, image, BOXES)
    head.focus.region_transformer = None
    expected = attention_masks(network, image, BOXES)
    np.testing.assert_allclose(shifted[:, :, 1:], expected[:, :, 1:], atol=1e-5)


def test_models_without_a_mask_over_places(network, image):
    head = network.model.roi_head

    class Channels(torch.nn.Module):
        def mask(self, feats):
            return feats.mean((2, 3), keepdim=True).sigmoid()

    head.focus.attention = Channels()
    with pytest.raises(ValueError, match='channels'):
        attention_masks(network, image, BOXES)
    head.focus.attention = None
    with pytest.raises(ValueError, match='no attention'):
        attention_masks(network, image, BOXES)
