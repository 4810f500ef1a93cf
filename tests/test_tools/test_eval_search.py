"""Evaluation of a predictions file against a test set in PRW's layout, without a model."""

import json
import subprocess
import sys

import numpy as np
import pytest
from helpers.prw_files import write_tiny_prw

from mmps.datasets import PRWDataset
from mmps.evaluation.functional import SearchPredictions, evaluate_search, save_predictions
from mmps.evaluation.functional.galleries import make_gallery
from mmps.evaluation.functional.predictions import keep_confident
from mmps.evaluation.functional.search import Searches
from mmps.evaluation.functional.tracklets import VideoFrames, rank_tracklets
from mmps.utils.errors import UserError

CONFIG = """
data_root = '{root}'
test_dataloader = dict(
    dataset=dict(
        type='PRWDataset',
        data_root=data_root,
        test_mode=True,
        pipeline=[dict(type='ThereIsNoSuchTransform')],
    )
)
test_evaluator = {evaluator}
"""


@pytest.fixture(scope='module')
def data_root(tmp_path_factory):
    return write_tiny_prw(tmp_path_factory.mktemp('eval_search') / 'prw')


@pytest.fixture(scope='module')
def case(data_root):
    """Annotations, and predictions with random embeddings at the annotated boxes."""
    annotations = PRWDataset(data_root=str(data_root), test_mode=True).search_annotations
    rng = np.random.default_rng(0)
    people = len(annotations.bboxes)
    rows = rng.standard_normal((people + annotations.num_queries, 8))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    predictions = SearchPredictions(
        image_names=annotations.image_names,
        image_splits=annotations.box_splits,
        bboxes=annotations.bboxes,
        scores=rng.uniform(0.5, 1, people),
        embeddings=rows[:people],
        query_embeddings=rows[people:],
    )
    return annotations, predictions


@pytest.fixture
def run(load_tool, data_root, tmp_path, case):
    """Run the tool on a file with the predictions; arguments and evaluator may differ."""
    tool = load_tool('analysis_tools/eval_search.py')
    save_predictions(tmp_path / 'p.npz', case[1])

    def run(*arguments, evaluator="dict(type='PersonSearchMetric')", predictions='p.npz'):
        config = tmp_path / 'config.py'
        config.write_text(CONFIG.format(root=data_root, evaluator=evaluator))
        tool.main([str(config), str(tmp_path / predictions), *arguments])

    return run


def test_numbers_are_printed_and_written(run, case, tmp_path, capsys):
    out = tmp_path / 'results' / 'metrics.json'
    run('--out', str(out))
    metrics = json.loads(out.read_text())
    want = evaluate_search(*case)
    assert {top: metrics[f'search/{top}'] for top in want} == want
    assert metrics['det/AP'] == metrics['det/recall_iou75'] == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].split()[:2] == [f'{want["mAP"]:.2%}', f'{want["top1"]:.2%}']
    assert lines[-1].split()[0] == 'iou75'


def test_config_options_apply(run, case, tmp_path):
    out = tmp_path / 'metrics.json'
    options = ['test_evaluator.cross_camera=True', 'test_evaluator.score_thr=0.7']
    run('--out', str(out), '--cfg-options', *options)
    metrics = json.loads(out.read_text())
    want = evaluate_search(*case, score_thr=0.7, cross_camera=True)
    assert metrics['search/mAP_cross_camera'] == want['mAP']
    run('--out', str(out), '--cfg-options', 'test_evaluator.tracklets.fps=25')
    metrics = json.loads(out.read_text())
    gallery, frames = make_gallery(case[0]), VideoFrames(fps=25)
    searches = Searches(case[0], keep_confident(case[1], 0.5), [(gallery, ['adaptive'])])
    found = rank_tracklets(searches, frames).metrics()
    assert {key: metrics[f'search/{key}_tracklets'] for key in found} == found
    with pytest.raises(UserError, match="tracklets: 'yes' given; use a dict"):
        run('--cfg-options', 'test_evaluator.tracklets=yes')


def test_intervals_are_printed_and_written(run, case, tmp_path, capsys):
    out = tmp_path / 'metrics.json'
    run('--bootstrap', '200', '--out', str(out))
    metrics = json.loads(out.read_text())
    for key in ('search/mAP', 'search/top1_iou75'):
        assert metrics[f'{key}_ci_low'] <= metrics[key] <= metrics[f'{key}_ci_high']
    assert 'det/AP_ci_low' not in metrics
    low, high = (100 * metrics[f'search/mAP_ci_{end}'] for end in ('low', 'high'))
    assert capsys.readouterr().out.splitlines()[2].split()[0] == f'{low:.2f}-{high:.2f}'


def test_queries_of_a_person_can_be_resampled_together(run, case, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        'mmps.evaluation.functional.bootstrap_intervals',
        lambda results, resamples, units: drawn.append((resamples, units)) or {},
    )
    run('--bootstrap', '--resample', 'person')
    run('--bootstrap', '7')
    np.testing.assert_array_equal(drawn[0][1], case[0].query_person_ids)
    assert drawn[0][0] == 10_000
    assert drawn[1] == (7, None)


def test_all_protocols_at_once(run, capsys):
    run('--cfg-options', 'test_evaluator.camera_pairs=True', 'test_evaluator.coco_ap=True')
    printed = capsys.readouterr().out
    assert 'search/mAP, query camera down, gallery camera across' in printed
    assert 'det/coco_AP75' in printed


def test_the_search_metric_is_found_among_others(run, capsys):
    run(evaluator="[dict(type='CocoMetric'), dict(type='PersonSearchMetric')]")
    assert 'search/mAP' in capsys.readouterr().out


def test_the_evaluator_of_the_config_does_not_write_predictions(run, tmp_path):
    out = tmp_path / 'again.npz'
    run(evaluator=f"dict(type='PersonSearchMetric', out='{out}')")
    assert not out.exists()


@pytest.mark.parametrize(
    ('arguments', 'options', 'message'),
    [
        (['--cfg-options', 'test_evaluator.iou_thr=strict'], {}, "iou_thr: 'strict' given"),
        (['--bootstrap', '0'], {}, 'resamples: 0 given'),
        ([], dict(evaluator="dict(type='CocoMetric')"), 'has no PersonSearchMetric'),
        ([], dict(evaluator='None'), 'has no test_evaluator'),
    ],
)
def test_wrong_settings_are_user_errors(run, arguments, options, message):
    with pytest.raises(UserError, match=message):
        run(*arguments, **options)


def test_a_missing_file_is_named(run):
    with pytest.raises(FileNotFoundError, match='other.npz: no such predictions file'):
        run(predictions='other.npz')


def test_predictions_of_another_test_set_are_refused(run, case, tmp_path):
    annotations, predictions = case
    names = ('x.jpg', *predictions.image_names[1:])
    arrays = dict(vars(predictions), image_names=np.array(names))
    np.savez(tmp_path / 'q.npz', **{k: v for k, v in arrays.items() if v is not None})
    with pytest.raises(UserError, match="q.npz: image_names: 'x.jpg' is not an image"):
        run(predictions='q.npz')


def test_the_process_ends_with_an_error_status(tools, tmp_path, data_root):
    config = tmp_path / 'config.py'
    config.write_text(CONFIG.format(root=data_root, evaluator="dict(type='PersonSearchMetric')"))
    bad = tmp_path / 'bad.npz'
    bad.write_text('nothing of the kind')
    tool = str(tools / 'analysis_tools/eval_search.py')
    done = subprocess.run(
        [sys.executable, tool, str(config), str(bad)], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        f'error: {bad}: not an .npz file, or cut off while it was written; write it again'
    )


def test_queries_that_no_other_camera_shows(run, case, tmp_path):
    out = tmp_path / 'metrics.json'
    run('--out', str(out), evaluator="dict(type='PersonSearchMetric', cross_camera=True)")
    metrics = json.loads(out.read_text())
    annotations = case[0]
    wanted = [
        any(
            person in annotations.person_ids[slice(*annotations.box_splits[i : i + 2])]
            for i in range(annotations.num_images)
            if annotations.cameras[i] != annotations.cameras[image]
        )
        for image, person in zip(
            annotations.query_images, annotations.query_person_ids, strict=True
        )
    ]
    assert metrics.get('search/queries_cross_camera', len(wanted)) == sum(wanted)
    assert ('search/mAP_cross_camera' in metrics) == any(wanted)


def test_boxes_as_corner_and_size_are_refused(run, case, tmp_path):
    save_predictions(tmp_path / 'xywh.npz', case[1])
    with np.load(tmp_path / 'xywh.npz') as file:
        arrays = dict(file)
    arrays['bboxes'][1, 2:] -= arrays['bboxes'][1, :2] + 1000
    np.savez(tmp_path / 'xywh.npz', **arrays)
    with pytest.raises(UserError, match=r'xywh.npz: bboxes: row 1, .*x2 > x1 and y2 > y1'):
        run(predictions='xywh.npz')
