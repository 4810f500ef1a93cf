import numpy as np
import pytest
import torch
from helpers.far_tensor import far_samples
from helpers.search_cases import random_annotations, random_galleries, random_predictions
from mmdet.structures import DetDataSample
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData

from mmps.evaluation.functional import (
    ContextMatching,
    evaluate_detection,
    evaluate_search,
    load_predictions,
)
from mmps.evaluation.metrics import PersonSearchMetric
from mmps.registry import METRICS

IMAGES = 30
TOPS = ('mAP', 'top1', 'top5', 'top10')


@pytest.fixture
def case():
    rng = np.random.default_rng(5)
    annotations = random_annotations(rng, images=IMAGES, people=3, queries=12)
    return annotations, random_predictions(rng, annotations, dim=16, ties=True, with_gt=True)


def data_samples(annotations, predictions, with_gt=True):
    """What a model returns for each image."""
    samples = []
    for i, name in enumerate(annotations.image_names):
        sample = DetDataSample(metainfo=dict(img_id=i, img_name=name))
        rows = slice(*predictions.image_splits[i : i + 2])
        sample.pred_instances = InstanceData(
            bboxes=torch.from_numpy(predictions.bboxes[rows]),
            scores=torch.from_numpy(predictions.scores[rows]),
            labels=torch.zeros(rows.stop - rows.start, dtype=torch.long),
            embeddings=torch.from_numpy(predictions.embeddings[rows]),
        )
        queries = np.flatnonzero(annotations.query_images == i)[::-1].copy()
        if len(queries):
            sample.query_instances = InstanceData(
                query_ids=torch.from_numpy(queries),
                bboxes=torch.from_numpy(annotations.query_bboxes[queries]),
                embeddings=torch.from_numpy(predictions.query_embeddings[queries]),
            )
        boxes = slice(*annotations.box_splits[i : i + 2])
        sample.gt_instances = InstanceData(bboxes=torch.from_numpy(annotations.bboxes[boxes]))
        if with_gt:
            sample.gt_instances.embeddings = torch.from_numpy(predictions.gt_embeddings[boxes])
        samples.append(sample)
    return samples


def evaluate(annotations, samples, size=None, **options):
    evaluator = Evaluator(METRICS.build(dict(type='PersonSearchMetric', **options)))
    evaluator.dataset_meta = dict(search_annotations=annotations)
    for start in range(0, len(samples), 4):
        evaluator.process(data_samples=samples[start : start + 4])
    return evaluator.evaluate(size or len(samples))


def test_results_may_be_on_a_gpu(case):
    annotations, _ = case
    expected = evaluate(annotations, data_samples(*case))
    assert evaluate(annotations, far_samples(data_samples(*case))) == expected


def test_keys_and_values(case):
    annotations, predictions = case
    metrics = evaluate(annotations, data_samples(*case), cross_camera=True)
    kinds = ('', '_iou75', '_cross_camera', '_gt_boxes')
    assert set(metrics) == {
        *(f'search/{top}{kind}' for top in TOPS for kind in kinds),
        *(f'det/{key}{kind}' for key in ('AP', 'recall') for kind in kinds[:2]),
    }
    for kind, options in (
        ('', dict()),
        ('_iou75', dict(iou_thr=0.75)),
        ('_cross_camera', dict(cross_camera=True)),
    ):
        want = evaluate_search(annotations, predictions, **options)
        assert {top: metrics[f'search/{top}{kind}'] for top in TOPS} == want
    for kind, iou_thr in (('', 0.5), ('_iou75', 0.75)):
        want = evaluate_detection(annotations, predictions, iou_thr=iou_thr)
        assert {key: metrics[f'det/{key}{kind}'] for key in ('AP', 'recall')} == want
    assert all(type(value) is float for value in metrics.values())


def test_ground_truth_boxes_use_their_own_embeddings(case):
    annotations, predictions = case
    metrics = evaluate(annotations, data_samples(*case))
    without = evaluate(annotations, data_samples(*case, with_gt=False))
    assert metrics['search/mAP_gt_boxes'] != metrics['search/mAP']
    assert without == {key: v for key, v in metrics.items() if 'gt_boxes' not in key}


def test_options_reach_the_evaluation(case):
    annotations, predictions = case
    options = dict(score_thr=0.8, iou_thr=0.6, confidence_weighting=True)
    metrics = evaluate(annotations, data_samples(*case), **options)
    want = evaluate_search(annotations, predictions, **options)
    assert {top: metrics[f'search/{top}'] for top in TOPS} == want
    metrics = evaluate(annotations, data_samples(*case), context_matching=dict(k1=9, k2=3))
    want = evaluate_search(annotations, predictions, context_matching=ContextMatching(9, 3))
    assert {top: metrics[f'search/{top}'] for top in TOPS} == want
    assert want != evaluate_search(annotations, predictions)


def test_further_gallery_sizes_get_a_suffix(case):
    annotations, predictions = case
    rng = np.random.default_rng(0)
    annotations.galleries.update({n: random_galleries(rng, annotations, n) for n in (5, 9)})
    metrics = evaluate(annotations, data_samples(*case), gallery_sizes=(9, 5))
    for suffix, size in (('', 9), ('_G5', 5)):
        want = evaluate_search(annotations, predictions, gallery_size=size)
        assert {top: metrics[f'search/{top}{suffix}'] for top in TOPS} == want
    with pytest.raises(ValueError, match=r'there is no gallery 100; this test set has \[5, 9\]'):
        evaluate(annotations, data_samples(*case))


def test_repeated_and_shuffled_images_are_harmless(case):
    samples = data_samples(*case)
    before = evaluate(case[0], samples)
    assert evaluate(case[0], [*samples[3:], *samples[:5]]) == before


def test_missing_images_are_an_error(case):
    with pytest.raises(ValueError, match=r'has no prediction \(2 of 30 images missing\)'):
        evaluate(case[0], data_samples(*case)[:-2])


def test_queries_without_embeddings_are_an_error(case):
    samples = data_samples(*case)
    with_query = next(s for s in samples if 'query_instances' in s)
    del with_query.query_instances
    with pytest.raises(ValueError, match=r'query \d+ in .* has no embedding'):
        evaluate(case[0], samples)


@pytest.mark.parametrize('part', ['pred_instances', 'query_instances'])
def test_a_model_without_embeddings_is_an_error(case, part):
    samples = data_samples(*case)
    sample = next(s for s in samples if 'query_instances' in s)
    del sample.get(part).embeddings
    with pytest.raises(ValueError, match=f"{part}: the data sample has no 'embeddings'"):
        evaluate(case[0], samples)


def test_annotated_boxes_in_network_pixels_are_an_error(case):
    samples = data_samples(*case)
    sample = next(s for s in samples if len(s.gt_instances))
    sample.gt_instances.bboxes = sample.gt_instances.bboxes * 1.5
    with pytest.raises(ValueError, match='original pixels; load annotations after Resize'):
        evaluate(case[0], samples)


def test_a_data_set_without_a_protocol_is_an_error(case):
    metric = PersonSearchMetric()
    metric.dataset_meta = dict(classes=('person',))
    metric.process(None, [s.to_dict() for s in data_samples(*case)])
    with pytest.raises(ValueError, match='no search_annotations'):
        metric.evaluate(IMAGES)


def test_no_detection_in_any_image(case):
    samples = data_samples(*case)
    for sample in samples:
        sample.pred_instances = sample.pred_instances[:0]
    metrics = evaluate(case[0], samples)
    assert metrics['search/mAP'] == metrics['det/AP'] == metrics['det/recall'] == 0
    assert metrics['search/mAP_gt_boxes'] > 0


def test_half_precision_outputs_are_accepted(case):
    samples = data_samples(*case)
    for sample in samples:
        sample.pred_instances.embeddings = sample.pred_instances.embeddings.half()
    assert evaluate(case[0], samples) == evaluate(case[0], data_samples(*case))


def test_predictions_file_gives_the_same_numbers(case, tmp_path):
    out = tmp_path / 'folder' / 'p.npz'
    metrics = evaluate(case[0], data_samples(*case), out=str(out))
    metric = PersonSearchMetric()
    assert metric.protocols(case[0], load_predictions(out, case[0])) == metrics


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(iou_thr='strict'), "iou_thr: 'strict' given"),
        (dict(gallery_sizes=()), 'gallery_sizes'),
        (dict(gallery_sizes=(50, 50)), 'gallery_sizes'),
        (dict(out='p.pkl'), "out: 'p.pkl' given; .* must end in .npz"),
        (dict(context_matching=dict(k1=0)), 'context_matching'),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PersonSearchMetric(**options)


def test_detections_without_area_show_nobody(case):
    """A detector clips boxes at the border, and some have no width left."""
    annotations, predictions = case
    expected = evaluate(annotations, data_samples(*case))
    samples = data_samples(*case)
    for sample in samples:
        found = sample.pred_instances
        empty = InstanceData(
            bboxes=torch.tensor([[640.0, 5.0, 640.0, 50.0], [5.0, 0.0, 9.0, 0.0]]),
            scores=torch.tensor([1.0, 0.9]),
            labels=torch.zeros(2, dtype=torch.long),
            embeddings=torch.nn.functional.normalize(torch.ones(2, found.embeddings.shape[1])),
        )
        sample.pred_instances = InstanceData.cat([empty, found])
    assert evaluate(annotations, samples) == expected
