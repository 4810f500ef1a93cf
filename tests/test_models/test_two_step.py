"""A detector and a re-ID network one behind the other, against the two run by hand."""

import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.exports import decided_two_step, pictures
from mmdet.structures import DetDataSample
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import nn

from mmps.registry import MODELS
from mmps.testing.tiny_models import two_step_model
from mmps.utils.checkpoint import CheckpointError
from mmps.utils.crops import cut_people


@pytest.fixture(scope='module')
def model():
    init_default_scope('mmps')
    torch.manual_seed(0)
    return decided_two_step(MODELS.build(two_step_model(score_thr=0.6)))


def inputs(images, queries=(), scale=1.0):
    """What a pipeline without Resize packs, or one that resized by ``scale``."""
    samples = []
    for i, image in enumerate(images):
        sample = DetDataSample(metainfo=dict(img_shape=image.shape[:2], img_id=i))
        if scale != 1:
            sample.set_metainfo(dict(scale_factor=(scale, scale)))
        if len(queries):
            boxes = torch.tensor(queries[i], dtype=torch.float32).reshape(-1, 4)
            sample.query_instances = InstanceData(bboxes=boxes, query_ids=torch.arange(len(boxes)))
        samples.append(sample)
    tensors = [torch.from_numpy(image).permute(2, 0, 1) for image in images]
    return dict(inputs=tensors, data_samples=samples)


def embedded(model, image, boxes):
    """The re-ID network on crops, step by step."""
    crops = cut_people(image, np.asarray(boxes), (32, 64))[..., ::-1].astype(np.float32)
    x = (crops - [123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375]
    x = torch.tensor(x, dtype=torch.float32).permute(0, 3, 1, 2)
    return F.normalize(model.reid.head.unscaled(model.reid.backbone(x)[-1]))


def test_people_are_the_detectors_and_embeddings_the_reid_networks(model):
    images = pictures((160, 96), (120, 180))
    with torch.no_grad():
        samples = model.test_step(inputs(images))
        assert all(len(sample.pred_instances) for sample in samples)
        for image, sample in zip(images, samples, strict=True):
            height, width = image.shape[:2]
            scale = min(160 / max(width, height), 96 / min(width, height))
            size = int(width * scale + 0.5), int(height * scale + 0.5)
            filled = np.full((160, 160, 3), 114, np.uint8)
            filled[: size[1], : size[0]] = cv2.resize(image, size)
            x = (filled.astype(np.float32) - [103.53, 116.28, 123.675]) / [57.375, 57.12, 58.395]
            x = torch.tensor(x, dtype=torch.float32).permute(2, 0, 1)[None]
            whole = DetDataSample(metainfo=dict(img_shape=(160, 160), scale_factor=(1.0, 1.0)))
            (found,) = model.detector.predict(x, [whole])
            found = found.pred_instances
            found = found[(found.labels == 0) & (found.scores >= 0.6)]
            wanted = found.bboxes / torch.tensor([size[0] / width, size[1] / height] * 2)
            wanted = wanted.minimum(torch.tensor([width, height] * 2)).clamp(min=0)
            inside = (wanted[:, 2:] > wanted[:, :2]).all(1)

            people = sample.pred_instances
            torch.testing.assert_close(people.scores, found.scores[inside])
            torch.testing.assert_close(people.bboxes, wanted[inside], atol=1e-3, rtol=0)
            assert people.labels.tolist() == [0] * len(people)
            assert people.scores.tolist() == sorted(people.scores.tolist(), reverse=True)
            by_hand = embedded(model, image, people.bboxes.numpy())
            torch.testing.assert_close(people.embeddings, by_hand, atol=1e-5, rtol=0)


@torch.no_grad()
def test_in_bfloat16_the_detector_finds_the_same_people(model):
    (image,) = pictures((160, 96))
    (full,) = model.test_step(inputs([image]))
    with torch.autocast('cpu', torch.bfloat16):
        (mixed,) = model.test_step(inputs([image]))
    full, mixed = full.pred_instances, mixed.pred_instances
    assert torch.equal(mixed.bboxes, full.bboxes) and torch.equal(mixed.scores, full.scores)
    cosines = (mixed.embeddings * full.embeddings).sum(1)
    assert 0.99 < cosines.min() < 1 - 1e-7


def test_queries_are_embedded_in_the_same_pass_and_alone(model):
    images = pictures((160, 96), (120, 180))
    queries = [[[5, 5, 50, 90], [20, 10, 90, 140]], []]
    with torch.no_grad():
        together = model.test_step(inputs(images, queries))
        batch = inputs(images, queries)
        alone = model.embed(batch['inputs'], batch['data_samples'])
        by_hand = embedded(model, images[0], queries[0])
    for samples in (together, alone):
        rows = [sample.query_instances.embeddings for sample in samples]
        torch.testing.assert_close(rows[0], by_hand, atol=1e-5, rtol=0)
        assert rows[1].shape == (0, 16)
    assert 'pred_instances' not in alone[0]


def test_boxes_are_in_original_pixels_where_the_pipeline_resized(model):
    (image,) = pictures((160, 96))
    half = cv2.resize(image, (80, 48))
    with torch.no_grad():
        (whole,) = model.test_step(inputs([half], [[[10, 10, 40, 40]]]))
        (scaled,) = model.test_step(inputs([half], [[[20, 20, 80, 80]]], scale=0.5))
    boxes = whole.pred_instances.bboxes, scaled.pred_instances.bboxes
    torch.testing.assert_close(boxes[0] * 2, boxes[1])
    embeddings = (one.query_instances.embeddings for one in (whole, scaled))
    torch.testing.assert_close(*embeddings)


def test_nobody_found(model):
    with torch.no_grad():
        (sample,) = (
            MODELS.build(two_step_model(score_thr=1.1)).eval().test_step(inputs(pictures((64, 64))))
        )
    assert sample.pred_instances.bboxes.shape == (0, 4)
    assert sample.pred_instances.embeddings.shape == (0, 16)


def test_the_most_certain_are_kept(model):
    images = pictures((160, 96))
    torch.manual_seed(0)
    few = decided_two_step(MODELS.build(two_step_model(score_thr=0.6, max_people=2)))
    few.load_state_dict(model.state_dict())
    with torch.no_grad():
        (all_,), (two,) = model.test_step(inputs(images)), few.test_step(inputs(images))
    torch.testing.assert_close(two.pred_instances.scores, all_.pred_instances.scores[:2])


def test_what_outsiders_ask_of_a_detector(model):
    assert (model.embed_dim, model.num_ids, model.embeds_given_boxes) == (16, 5, True)


def test_both_networks_learn():
    torch.manual_seed(0)
    model = MODELS.build(two_step_model()).train()
    batch = inputs(pictures((160, 120), (100, 120)))
    for i, sample in enumerate(batch['data_samples']):
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor([[10.0, 10, 60, 100], [40, 5, 90, 110]]),
            labels=torch.zeros(2, dtype=torch.int64),
            person_ids=torch.tensor([i, -1]),
        )
    model.reid.head.criterion.lut.normal_()  # an empty table attracts nobody
    losses = model(**batch, mode='loss')
    assert {'detector.loss_cls', 'detector.loss_bbox', 'loss_reid'} <= set(losses)
    loss, _ = model.parse_losses(losses)
    loss.backward()
    for part in (model.detector, model.reid):
        gradients = [p.grad for p in part.parameters() if p.grad is not None]
        assert any(gradient.abs().sum() > 0 for gradient in gradients)


def test_weights_of_a_part_are_taken_and_checked(tmp_path, model):
    states = {part: getattr(model, part).state_dict() for part in ('detector', 'reid')}
    states['reid']['classifier.weight'] = torch.zeros(3, 3)  # of training alone
    for part, state in states.items():
        torch.save(dict(state_dict=state), tmp_path / f'{part}.pth')
    paths = {f'{part}_checkpoint': str(tmp_path / f'{part}.pth') for part in states}
    loaded = MODELS.build(two_step_model(**paths))
    torch.testing.assert_close(loaded.state_dict(), model.state_dict())
    with pytest.raises(CheckpointError, match='reid_checkpoint .*detector.pth.* another model'):
        MODELS.build(two_step_model(reid_checkpoint=paths['detector_checkpoint']))


class Foreign(BaseModel):
    """As mmdet's BaseReID, which needs mmpretrain: normalised crops to a tuple of embeddings."""

    def __init__(self):
        super().__init__(dict(type='ImgDataPreprocessor', mean=[0.0] * 3, std=[255.0] * 3))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return (inputs.mean((2, 3)),)


def test_any_network_with_a_preprocessor_embeds(model):
    config = two_step_model(score_thr=0.6)
    network = MODELS.build(
        {**config, 'reid': dict(type='LinearEmbedding', in_channels=1, out_channels=1)}
    )
    network.reid = Foreign()
    blue = np.zeros((50, 40, 3), np.uint8)
    blue[..., 0] = 100
    (sample,) = network.eval().embed(
        **{
            'batch_inputs': inputs([blue])['inputs'],
            'batch_data_samples': inputs([blue], [[[0, 0, 20, 30]]])['data_samples'],
        }
    )
    torch.testing.assert_close(sample.query_instances.embeddings, torch.tensor([[1.0, 0, 0]]))
    assert network.num_ids is None


def test_linear_embedding_is_openmmlabs_head():
    head = MODELS.build(
        dict(type='LinearEmbedding', in_channels=6, out_channels=3, hidden=[4])
    ).eval()
    assert {'fcs.0.fc.weight', 'fcs.0.bn.running_var', 'fc_out.bias'} <= set(head.state_dict())
    x = torch.rand(2, 6, 8, 4)
    hidden = F.relu(head.fcs[0]['bn'](head.fcs[0]['fc'](x.mean((2, 3)))))
    torch.testing.assert_close(head(x), head.fc_out(hidden))


def test_networks_of_timm(monkeypatch):
    made = {}

    def create_model(name, **options):
        made.update(options, name=name)
        return nn.Conv2d(3, 7, 4, stride=4)

    monkeypatch.setitem(sys.modules, 'timm', SimpleNamespace(create_model=create_model))
    reid = MODELS.build(
        dict(type='ReIDNetwork', backbone=dict(type='TIMMBackbone', model_name='x'))
    )
    assert reid(torch.rand(2, 3, 64, 32)).shape == (2, 7)
    assert made == dict(name='x', pretrained=False, num_classes=0, global_pool='')
    reid.backbone.network = nn.Flatten()
    with pytest.raises(ValueError, match='instead of a map'):
        reid(torch.rand(2, 3, 8, 8))
    monkeypatch.setitem(sys.modules, 'timm', None)
    with pytest.raises(ImportError, match='pip install timm'):
        MODELS.build(dict(type='TIMMBackbone', model_name='x'))


def test_a_network_without_a_loss_says_which_head_has_one():
    reid = MODELS.build(
        dict(
            type='ReIDNetwork',
            backbone=dict(type='DenseNet', growth_rate=4, block_layers=(1, 1, 1), init_channels=8),
        )
    )
    with pytest.raises(TypeError, match="type='ReIDHead'"):
        reid.loss(torch.rand(1, 3, 64, 32), torch.tensor([0]))
