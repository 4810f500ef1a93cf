"""Re-ID trained alone, on a detector that stays as it is."""

import copy
from functools import partial

import pytest
import torch
from helpers.slim_person_search import build, losses, predict
from helpers.waits import Waits
from mmdet.structures.bbox import bbox2roi, bbox_overlaps
from mmengine.registry import MODELS as ROOT

from mmps.testing.scenes import random_scenes
from mmps.testing.tiny_models import PLUS, slim_model


def tilt(model):
    """Give the spatial transformer a warp that moves boxes by many pixels."""
    model.neck.transformer.localisation[-1].bias.data = torch.tensor(
        [3.0, 1.0, -3.0, -1.0, 3.0, -3.0]
    )
    return model


def test_losses_of_every_branch():
    result = losses(build().train(), [[0, 1, -1], [2]])
    assert set(result) == {
        'loss_rpn_cls',
        'loss_rpn_bbox',
        'loss_cls',
        'loss_bbox',
        'acc',
        'loss_reid',
    }
    assert result['loss_reid'] > 0


@pytest.mark.parametrize('person_ids', [[[], []], [[], [0]], [[-1, -1], [-1]], [[0]]])
def test_scenes_without_people_or_without_labelled_people_train(person_ids):
    model = build().train()
    total, _ = model.parse_losses(losses(model, person_ids))
    total.backward()
    assert torch.isfinite(total)
    without = [n for n, p in model.named_parameters() if p.grad is None]
    assert not without
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_training_updates_the_tables_with_the_people_of_the_batch():
    sampler = 'model__train_cfg__rcnn__sampler'
    # All people of a scene are learnt, not two that are drawn.
    model = build(**{f'{sampler}__num': 16, f'{sampler}__pos_fraction': 1.0}).train()
    losses(model, [[0, 3, -1], [3]])
    criterion = model.roi_head.reid_head.criterion
    filled = criterion.lut.norm(dim=1) > 0
    assert filled.tolist() == [True, False, False, True, False]
    assert criterion.queue_pointer > 0


def test_each_person_is_learnt_under_its_own_id(monkeypatch):
    """Ids rolled within an image would train as well, towards the wrong person."""
    sampler = 'model__train_cfg__rcnn__sampler'
    model = build(**{f'{sampler}__num': 16, f'{sampler}__pos_fraction': 1.0})
    model = tilt(model).eval()
    learnt = []
    loss = model.roi_head.reid_head.loss
    monkeypatch.setattr(
        model.roi_head.reid_head, 'loss', lambda f, ids: learnt.append((f, ids)) or loss(f, ids)
    )
    data = model.data_preprocessor(random_scenes([[0, 3, -1], [4, 1]]), True)
    with torch.no_grad():
        model(**data, mode='loss')
        x, frame = model.extract_frame(data['inputs'])
        ((feats, ids),) = learnt
        for i, sample in enumerate(data['data_samples']):
            people = sample.gt_instances
            for box, person_id in zip(
                frame.to_warped(people.bboxes, i), people.person_ids, strict=True
            ):
                own = model.roi_head.extract_regions(
                    x, bbox2roi([box[:0].view(0, 4)] * i + [box[None]])
                )
                same = (feats - own).abs().amax((1, 2, 3)) < 1e-4
                assert same.any() and (ids[same] == person_id).all()


@pytest.mark.parametrize('threshold', [0.0, 0.6, 1.1])
def test_loosely_cut_regions_train_detection_only(threshold, monkeypatch):
    assigner = 'model__train_cfg__rcnn__assigner'
    loose = {f'{assigner}__{key}': 0.2 for key in ('pos_iou_thr', 'neg_iou_thr', 'min_pos_iou')}
    loose['model__train_cfg__rcnn__sampler__num'] = 32
    model = build(**loose, model__roi_head__reid_iou=threshold).train()
    sampled, learnt = [], []
    sample, loss = model.roi_head._sample, model.roi_head.reid_head.loss
    monkeypatch.setattr(
        model.roi_head, '_sample', lambda *args: sampled.append(sample(*args)) or sampled[-1]
    )
    monkeypatch.setattr(
        model.roi_head.reid_head, 'loss', lambda f, ids: learnt.append(ids) or loss(f, ids)
    )
    data = model.data_preprocessor(random_scenes([[0, 1], [3]]), True)
    model(**data, mode='loss')
    expected = []
    for result, sample in zip(sampled, data['data_samples'], strict=True):
        for prior, person in zip(result.pos_priors, result.pos_assigned_gt_inds, strict=True):
            box = sample.gt_instances.bboxes[person]
            if bbox_overlaps(prior[None], box[None]) >= threshold:
                expected.append(int(sample.gt_instances.person_ids[person]))
    positives = sum(len(result.pos_priors) for result in sampled)
    assert learnt[0].tolist() == expected
    assert {0.0: positives, 1.1: 0}.get(threshold, len(expected)) == len(expected)
    assert positives > 3


def test_annotated_boxes_go_to_the_warped_frame_and_samples_stay_untouched():
    model = tilt(build()).train()
    data = model.data_preprocessor(random_scenes([[0, 1]]), True)
    before = data['data_samples'][0].gt_instances.bboxes.clone()
    seen = []
    loss_and_predict = model.rpn_head.loss_and_predict
    model.rpn_head.loss_and_predict = lambda x, samples, **kwargs: (
        seen.extend(samples) or loss_and_predict(x, samples, **kwargs)
    )
    model(**data, mode='loss')
    _, frame = model.extract_frame(data['inputs'])
    torch.testing.assert_close(data['data_samples'][0].gt_instances.bboxes, before)
    torch.testing.assert_close(seen[0].gt_instances.bboxes, frame.to_warped(before, 0))
    assert not torch.allclose(seen[0].gt_instances.bboxes, before, atol=2)


@pytest.mark.parametrize('scale', [1.0, 0.5])
def test_predictions_are_in_original_pixels_with_unit_embeddings(scale):
    scenes = random_scenes([[0, 1, 2], [], [4]], queries=[[1], [], [0]], scale=scale)
    for sample in predict(tilt(build()), scenes):
        found = sample.pred_instances
        assert len(found) > 0
        height, width = sample.ori_shape
        assert found.bboxes.min() >= 0
        assert found.bboxes[:, 0::2].max() <= width and found.bboxes[:, 1::2].max() <= height
        for instances in (found, sample.gt_instances, sample.query_instances):
            assert instances.embeddings.shape == (len(instances.bboxes), 16)
            torch.testing.assert_close(
                instances.embeddings.norm(dim=1), torch.ones(len(instances.bboxes))
            )


@pytest.mark.parametrize('scale', [1.0, 0.5])
def test_one_embed_for_detections_annotated_boxes_and_queries(scale):
    """A box has one embedding, whichever role it plays and whatever the warp."""
    many = dict(model__test_cfg__rpn__max_per_img=100, model__test_cfg__rcnn__max_per_img=50)
    model = tilt(build(**many))
    # Boxes clipped at the border could differ from the ones that were embedded.
    scenes = random_scenes([[0, 1, 2]], queries=[[2, 0]], scale=scale)
    first = predict(model, scenes)[0]
    inside = first.pred_instances.bboxes
    keep = (inside[:, :2] > 1).all(1) & (
        inside[:, 2:] < torch.tensor([127.0, 95.0]) / scale - 1
    ).all(1)
    assert keep.any()
    scenes['data_samples'][0].gt_instances = first.pred_instances[keep]
    second = predict(model, scenes)[0]
    torch.testing.assert_close(
        second.gt_instances.embeddings, first.pred_instances.embeddings[keep], atol=1e-3, rtol=0
    )
    torch.testing.assert_close(
        first.query_instances.embeddings, first.gt_instances.embeddings[[2, 0]]
    )


def test_embeddings_follow_their_boxes_through_nms():
    model = build()
    scenes = random_scenes([[0]])
    sample = predict(model, scenes)[0]
    data = model.data_preprocessor(copy.deepcopy(scenes), False)
    with torch.no_grad():
        x, frame = model.extract_frame(data['inputs'])
        warped = frame.to_warped(sample.pred_instances.bboxes, 0)
        for box, embedding in zip(warped, sample.pred_instances.embeddings, strict=True):
            (alone,) = model.roi_head.embed(x, [box[None]])
            torch.testing.assert_close(alone[0], embedding, atol=1e-3, rtol=0)


def test_nothing_detected():
    sample = predict(build(model__test_cfg__rcnn__score_thr=1.0), random_scenes([[0]]))[0]
    assert sample.pred_instances.bboxes.shape == (0, 4)
    assert sample.pred_instances.embeddings.shape == (0, 16)


def test_improbable_proposals_do_not_enter_the_identification_network(monkeypatch):
    model = build()
    entered = []
    find = model.roi_head.predict_bbox

    def watched(x, metas, proposals, *args):
        entered.append([some.scores for some in proposals])
        return find(x, metas, proposals, *args)

    monkeypatch.setattr(model.roi_head, 'predict_bbox', watched)
    scenes = random_scenes([[0], [1]])
    predict(model, scenes)
    (everything,) = entered
    least = torch.cat(everything).median()
    for threshold in (least, torch.tensor(1.0)):
        model.test_cfg.rpn.score_thr = float(threshold)
        predict(model, scenes)
        above = [some[(some > threshold) | (torch.arange(len(some)) == 0)] for some in everything]
        assert sum(map(len, above)) < sum(map(len, everything))
        torch.testing.assert_close(entered.pop(), above, rtol=0, atol=0)


def test_proposals_are_in_float32_behind_a_convolution_in_16_bits(monkeypatch):
    model = build(seed=0).eval()
    heard = []
    conv = model.rpn_head.rpn_conv
    compute = conv._conv_forward
    monkeypatch.setattr(
        conv, '_conv_forward', lambda *given: heard.append(given[1].dtype) or compute(*given)
    )
    seen = []
    model.rpn_head.rpn_cls.register_forward_hook(lambda module, given, out: seen.append(out.dtype))
    with torch.autocast('cpu', torch.bfloat16):
        predict(model, random_scenes([[0, 1]]))
    predict(model, random_scenes([[0, 1]]))
    assert heard == [torch.bfloat16, torch.float32]
    assert seen == [torch.float32, torch.float32]


def test_images_are_independent_in_evaluation_mode():
    """Batch norm left in training mode would let the other images of a batch leak in."""
    model = build()
    losses(model.train(), [[0, 1], [2]])
    scenes = random_scenes([[0, 1], [2]])
    together = predict(model, scenes)[0].gt_instances.embeddings
    alone = predict(model, {key: value[:1] for key, value in scenes.items()})[0]
    torch.testing.assert_close(together, alone.gt_instances.embeddings, atol=1e-5, rtol=0)


def test_the_length_of_the_embedding_is_the_score():
    model = build(model__roi_head__reid_head__norm_aware=True).eval()
    data = model.data_preprocessor(random_scenes([[0]]), False)
    with torch.no_grad():
        ((cls_score, _),) = model(**data, mode='tensor')
    assert (cls_score[:, 1] == 0).all() and cls_score[:, 0].std() > 0


def test_memory_format_changes_nothing_but_speed():
    scenes = random_scenes([[0, 1]], queries=[[1]])
    plain, fast = build(model__channels_last=False), build()
    fast.load_state_dict(plain.state_dict())
    one, other = predict(plain, scenes)[0], predict(fast, scenes)[0]
    assert fast.backbone.features.conv0.weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(one.pred_instances.bboxes, other.pred_instances.bboxes)
    torch.testing.assert_close(
        one.query_instances.embeddings, other.query_instances.embeddings, atol=1e-4, rtol=0
    )


def test_raw_outputs():
    model = build().eval()
    data = model.data_preprocessor(random_scenes([[0]]), False)
    with torch.no_grad():
        ((cls_score, bbox_pred),) = model(**data, mode='tensor')
    assert cls_score.shape == (8, 2) and bbox_pred.shape == (8, 4)


def test_built_from_the_root_registry_too():
    assert type(ROOT.build(slim_model())).__name__ == 'PersonSearch'


def test_embeddings_of_the_proposals_that_became_detections(monkeypatch):
    model, scenes = build(model__neck=None), random_scenes([[0, 1], [2]])
    repooled = predict(model, scenes)
    model.roi_head.repool = False
    proposed, embedded = [], []
    propose, embed = model.rpn_head.predict, model.roi_head.embed
    monkeypatch.setattr(
        model.rpn_head, 'predict', lambda *a, **k: proposed.extend(propose(*a, **k)) or proposed
    )
    monkeypatch.setattr(
        model.roi_head, 'embed', lambda x, boxes: embedded.append(boxes) or embed(x, boxes)
    )
    for image, (own, sample) in enumerate(zip(repooled, predict(model, scenes), strict=True)):
        found = sample.pred_instances
        assert torch.equal(found.bboxes, own.pred_instances.bboxes)
        assert torch.equal(found.scores, own.pred_instances.scores)
        assert torch.equal(found.labels, own.pred_instances.labels)
        assert not torch.equal(found.embeddings, own.pred_instances.embeddings)
        # an untrained box head hardly moves them
        nearest = bbox_overlaps(found.bboxes, proposed[image].bboxes).argmax(1)
        assert torch.equal(embedded[0][image], proposed[image].bboxes[nearest])
        assert not torch.equal(embedded[0][image], found.bboxes)


@pytest.mark.parametrize(
    ('device', 'with_cp', 'grad', 'count'),
    [
        ('cpu', False, True, 64),
        ('cpu', True, True, 64),
        ('meta', False, True, 512),
        ('meta', True, True, 128),
        ('meta', True, False, 512),
    ],
)
def test_regions_at_once(device, with_cp, grad, count):
    head = build(model__roi_head__shared_head__with_cp=with_cp).roi_head
    rois = torch.empty(600, 5, device=device)
    with torch.set_grad_enabled(grad):
        assert head._of_parts(len, rois)[0] == count


def test_a_prediction_waits_for_a_gpu_four_times_an_image():
    """For mmdet's filter of proposals and mmcv's NMS: their numbers of boxes depend on the values;
    once more for the batch.
    """
    model = build()
    with Waits() as waits:
        predict(model, random_scenes([[0, 1], [2], [1]]))
    assert len(waits.names) == 4 * 3 + 1


@pytest.fixture
def sizes(monkeypatch):
    """The first input of what is compiled, as far as Python goes: no kernels are made."""
    found = []

    def backend(graph, inputs, **_):
        images = [x for x in inputs if isinstance(x, torch.Tensor) and x.dim() == 4]
        found.append(len(next(x for x in images if not isinstance(x, torch.nn.Parameter))))
        return graph.forward

    monkeypatch.setattr(torch, 'compile', partial(torch.compile, backend=backend))
    yield found
    torch.compiler.reset()


@pytest.mark.parametrize(('how', 'parts'), [(True, {}), ('graphs', PLUS)])
def test_compiled_networks_compute_the_same(sizes, how, parts):
    plain, compiled = build(**parts), build(**parts, model__compile_networks=how)
    assert plain.state_dict().keys() == compiled.state_dict().keys()
    plain.load_state_dict(compiled.state_dict())
    for people in ([[0, 1, -1], [2], []], [[1]]):
        scenes = random_scenes(people)
        expected, found = (predict(model, scenes) for model in (plain, compiled))
        for one, other in zip(expected, found, strict=True):
            for key in ('bboxes', 'scores', 'embeddings'):
                torch.testing.assert_close(one.pred_instances[key], other.pred_instances[key])
    assert sizes
    if how == 'graphs':
        assert {4, 1} <= set(sizes) <= {2**n for n in range(10)}


@pytest.mark.parametrize('how', [True, 'graphs'])
def test_compiled_networks_train_and_are_copied(sizes, how):
    compiled = build(model__compile_networks=how)
    total, _ = compiled.parse_losses(losses(compiled.train(), [[0, 1, -1], [2]]))
    total.backward()
    assert sizes
    assert all(p.grad is not None for p in compiled.parameters())
    copied = copy.deepcopy(compiled).eval()
    compiled.backbone.register_forward_hook(lambda *_: pytest.fail('not a copy'))
    predict(copied, random_scenes([[0]]))


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
