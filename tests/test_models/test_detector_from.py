"""Re-ID trained alone, on a detector that stays as it is."""

import pytest
import torch
from helpers.slim_person_search import build, losses, predict

from mmps.testing.scenes import random_scenes

NETWORK = dict(
    roi_extractor=dict(
        type='SingleRoIExtractor',
        roi_layer=dict(type='RoIAlign', output_size=(6, 3), sampling_ratio=1),
        out_channels=4,
        featmap_strides=[16],
    ),
    network=dict(type='DenseNetIdentification', num_layers=1, growth_rate=4),
)
SEPARATE = dict(model__roi_head__reid_network=NETWORK, model__roi_head__reid_jitter=dict(copies=2))
REID = ('roi_head.reid_network.', 'roi_head.reid_head.')


@pytest.fixture
def checkpoint(tmp_path):
    """Of a network that knows other people by an embedding of another width."""
    torch.manual_seed(1)
    model = build(**SEPARATE, model__roi_head__reid_head__embed_dim=7)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'detector.pth')
    return model, str(tmp_path / 'detector.pth')


def test_detection_is_that_of_the_checkpoint_before_and_after_training(checkpoint):
    detector, path = checkpoint
    torch.manual_seed(2)
    model = build(**SEPARATE, model__detector_from=path).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(learning, lr=0.1)
    for _ in range(3):
        found = losses(model, [[0, 1, -1], [1]])
        assert found.keys() == {'loss_reid'}
        optimizer.zero_grad()
        found['loss_reid'].backward()
        optimizer.step()
    changed = {k for k, value in model.state_dict().items() if not torch.equal(value, before[k])}
    assert changed
    assert all(key.startswith(REID) for key in changed)
    assert 'roi_head.reid_network.network.features.norm5.running_mean' in changed
    scenes = random_scenes([[0], [1]])
    for one, other in zip(predict(detector, scenes), predict(model, scenes), strict=True):
        assert len(one.pred_instances) > 0
        assert torch.equal(one.pred_instances.bboxes, other.pred_instances.bboxes)
        assert torch.equal(one.pred_instances.scores, other.pred_instances.scores)


def test_annotated_boxes_and_jittered_copies_train_re_id(checkpoint):
    model = build(**SEPARATE, model__detector_from=checkpoint[1]).train()
    seen = []
    model.roi_head.reid_head.criterion.register_forward_hook(
        lambda module, args, loss: seen.append(args[1].tolist())
    )
    losses(model, [[0, -1], [2]])
    assert seen == [[0, -1, 2, 0, 0, 2, 2]]


def test_training_resumes_after_validation(checkpoint):
    model = build(**SEPARATE, model__detector_from=checkpoint[1])
    model.eval()
    assert not model.roi_head.reid_head.training
    model.train()
    assert model.training
    assert model.roi_head.reid_network.network.training
    assert not model.backbone.training
    assert not model.roi_head.shared_head.training


def test_a_network_that_detects_otherwise_is_refused(checkpoint):
    with pytest.raises(ValueError, match='detector.pth: .*neck.transformer.*detector_from'):
        build(**SEPARATE, model__neck=None, model__detector_from=checkpoint[1])


def test_re_id_needs_a_network_of_its_own(checkpoint):
    with pytest.raises(ValueError, match='detector_from needs a roi_head.reid_network'):
        build(model__detector_from=checkpoint[1])
