import copy

import pytest
import torch
from mmdet.structures.bbox import bbox2roi, bbox_overlaps
from mmengine.registry import MODELS as ROOT

from mmps.registry import MODELS
from mmps.testing.scenes import random_scenes
from mmps.testing.tiny_models import slim_model

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


def build(**overrides):
    model = MODELS.build(slim_model(**overrides))
    model.init_weights()
    return model


def tilt(model):
    """Give the spatial transformer a warp that moves boxes by many pixels."""
    model.neck.transformer.localisation[-1].bias.data = torch.tensor(
        [3.0, 1.0, -3.0, -1.0, 3.0, -3.0]
    )
    return model


def losses(model, person_ids):
    data = model.data_preprocessor(random_scenes(person_ids), True)
    return model(**data, mode='loss')


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


def predict(model, scenes):
    with torch.no_grad():
        return model.eval().test_step(copy.deepcopy(scenes))


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


def test_images_are_independent_in_evaluation_mode():
    """Batch norm left in training mode would let the other images of a batch leak in."""
    model = build()
    losses(model.train(), [[0, 1], [2]])
    scenes = random_scenes([[0, 1], [2]])
    together = predict(model, scenes)[0].gt_instances.embeddings
    alone = predict(model, {key: value[:1] for key, value in scenes.items()})[0]
    torch.testing.assert_close(together, alone.gt_instances.embeddings, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    'overrides',
    [
        dict(model__neck=None),
        dict(model__roi_head__attention=None),
        dict(model__neck=None, model__roi_head__region_transformer=dict()),
        dict(model__roi_head__attention__mode='both', model__roi_head__reid_head__stripes=2),
        dict(
            model__roi_head__reid_head__norm_aware=True,
            model__roi_head__bbox_head__with_cls=False,
        ),
        SEPARATE,
        FINE,
        SHARED_FINE,
    ],
)
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


def test_the_length_of_the_embedding_is_the_score():
    model = build(model__roi_head__reid_head__norm_aware=True).eval()
    data = model.data_preprocessor(random_scenes([[0]]), False)
    with torch.no_grad():
        ((cls_score, _),) = model(**data, mode='tensor')
    assert (cls_score[:, 1] == 0).all() and cls_score[:, 0].std() > 0


def test_the_length_of_every_embedding_needs_a_shared_network():
    with pytest.raises(ValueError, match='norm_aware'):
        build(**SEPARATE, model__roi_head__reid_head__norm_aware=True)


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
