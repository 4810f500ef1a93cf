"""Re-ID with a network of its own, finer features and more boxes than detection."""

import pytest
import torch
from helpers.slim_person_search import build, losses, predict

from mmps.testing.scenes import random_scenes

NETWORK = dict(type='DenseNetIdentification', num_layers=1, growth_rate=4)
SEPARATE = dict(
    model__roi_head__reid_network=dict(
        roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=(6, 3), sampling_ratio=1),
            out_channels=4,
            featmap_strides=[16],
        ),
        network=NETWORK,
    )
)
FINE_EXTRACTOR = dict(
    type='FineRoIExtractor',
    roi_layer=dict(type='RoIAlign', output_size=(6, 3), sampling_ratio=1),
    out_channels=4,
    fine_channels=10,
)
FINE = dict(
    model__backbone__fine_block=2,
    model__roi_head__reid_network=dict(roi_extractor=FINE_EXTRACTOR, network=NETWORK),
)
SHARED_FINE = dict(
    model__backbone__fine_block=2,
    model__roi_head__bbox_roi_extractor=dict(
        _delete_=True,
        **{**FINE_EXTRACTOR, 'roi_layer': dict(type='RoIAlign', output_size=4, sampling_ratio=1)},
    ),
)


@pytest.mark.parametrize('overrides', [SEPARATE, FINE, SHARED_FINE])
def test_variants(overrides):
    model = build(**overrides)
    assert losses(model.train(), [[0, 1]])['loss_reid'] > 0
    assert len(predict(model, random_scenes([[0]]))[0].pred_instances) > 0


@pytest.mark.parametrize('person_ids', [[[], []], [[-1], []], [[0], []]])
def test_a_network_for_re_id_alone_trains_without_people_too(person_ids):
    model = build(**FINE, model__roi_head__reid_iou=0.99).train()
    total, _ = model.parse_losses(losses(model, person_ids))
    total.backward()
    # The class of the box head and the length of the embedding are one or the other.
    assert not [n for n, p in model.named_parameters() if p.grad is None]
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_finer_features_start_at_zero_and_learn():
    """Pretrained weights see what they know at first."""
    coarse, fine = build(**SEPARATE), build(**FINE)
    extractor = fine.roi_head.reid_network.roi_extractor
    assert set(fine.load_state_dict(coarse.state_dict(), strict=False).missing_keys) == {
        'roi_head.reid_network.roi_extractor.lateral.weight'
    }
    scenes = random_scenes([[0, 1]])
    one, other = predict(coarse, scenes)[0], predict(fine, scenes)[0]
    assert torch.equal(one.gt_instances.embeddings, other.gt_instances.embeddings)
    assert len(one.gt_instances.embeddings) == 2
    losses(fine.train(), [[0, 1]])['loss_reid'].backward()  # nothing in the tables yet
    losses(fine, [[0, 1]])['loss_reid'].backward()
    assert extractor.lateral.weight.grad.abs().sum() > 0


def test_detection_and_re_id_can_be_told_apart():
    """With networks of their own, the re-ID loss leaves the detection's alone."""
    model = build(**SEPARATE).train()
    losses(model, [[0, 1]])
    losses(model, [[0, 1]])['loss_reid'].backward()
    touched = {n.split('.')[1] for n, p in model.roi_head.named_parameters() if p.grad is not None}
    assert all(p.grad is None for p in model.roi_head.shared_head.parameters())
    assert any(p.grad.abs().sum() for p in model.roi_head.reid_network.parameters()), touched


def test_the_length_of_every_embedding_needs_a_shared_network():
    with pytest.raises(ValueError, match='norm_aware'):
        build(**SEPARATE, model__roi_head__reid_head__norm_aware=True)


def test_jittered_boxes_train_re_id_too():
    model = build(**FINE, model__roi_head__reid_jitter=dict(copies=3)).train()
    seen = []
    model.roi_head.reid_head.criterion.register_forward_hook(
        lambda module, args, loss: seen.append(args[1])
    )
    losses(model, [[0, -1, 1], [-1], [2]])
    (ids,) = seen
    # behind what was sampled, three copies of each labelled person, image by image
    assert ids[-9:].tolist() == [0, 1, 0, 1, 0, 1, 2, 2, 2]
    assert len(ids) > 9


def test_jitter_needs_a_network_of_its_own():
    with pytest.raises(ValueError, match='reid_jitter needs a reid_network'):
        build(model__roi_head__reid_jitter=dict(copies=3))
