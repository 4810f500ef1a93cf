"""Baselines of a test set, and predictions beside them, in one table."""

import json

import numpy as np
import pytest
from helpers.prw_files import write_tiny_prw

from mmps.datasets import PRWDataset
from mmps.evaluation.baselines import hsv_baseline
from mmps.evaluation.functional import SearchPredictions, SearchProtocols, save_predictions
from mmps.utils.errors import UserError

CONFIG = """
test_dataloader = dict(dataset=dict(type='PRWDataset', data_root='{root}', test_mode=True))
test_evaluator = dict(type='PersonSearchMetric', cross_camera=True)
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A test set, its config, and predictions that find and tell everybody."""
    folder = tmp_path_factory.mktemp('eval_baselines')
    root = write_tiny_prw(folder / 'prw')
    (folder / 'config.py').write_text(CONFIG.format(root=root))
    truth = PRWDataset(data_root=str(root), test_mode=True).search_annotations
    ids = np.unique(truth.person_ids)
    known = np.eye(len(ids), dtype=np.float32)
    rows = known[np.searchsorted(ids, truth.person_ids)]
    found = SearchPredictions(
        image_names=truth.image_names,
        image_splits=truth.box_splits,
        bboxes=truth.bboxes,
        scores=np.ones(len(truth.bboxes), np.float32),
        embeddings=rows,
        query_embeddings=known[np.searchsorted(ids, truth.query_person_ids)],
        gt_embeddings=rows,
    )
    save_predictions(folder / 'perfect.npz', found)
    return folder, truth


@pytest.fixture
def run(folder, load_tool):
    def run(*arguments):
        load_tool('analysis_tools/eval_baselines.py').main(
            [str(folder[0] / 'config.py'), *map(str, arguments)]
        )

    return run


def test_rows_are_the_baselines_and_the_predictions(run, folder, capsys, tmp_path):
    path, truth = folder
    run(f'ours={path / "perfect.npz"}', '--out', tmp_path / 'm.json')
    rows = json.loads((tmp_path / 'm.json').read_text())
    assert list(rows) == ['random', 'HSV histograms of 6 stripes', '8 x 20 pixels', 'ours']
    assert rows['ours']['search/mAP'] == rows['ours']['det/AP'] == 1
    want = SearchProtocols(cross_camera=True)(truth, hsv_baseline(truth, path / 'prw/frames'))
    got = rows['HSV histograms of 6 stripes']
    assert got['search/mAP_gt_boxes'] == want['search/mAP']
    assert got['search/mAP_cross_camera'] == want['search/mAP_cross_camera']
    lines = capsys.readouterr().out.splitlines()
    assert [len(line.split('|')) for line in lines] == [10] * 6
    assert lines[-1].split('|')[1:4] == [' ours ', ' 1.000 ', ' 1.000 ']


def test_a_baseline_is_not_credited_with_detection(run, capsys, tmp_path):
    run('--out', tmp_path / 'm.json')
    for metrics in json.loads((tmp_path / 'm.json').read_text()).values():
        assert not [key for key in metrics if key.startswith('det/')]
        assert 'search/mAP' not in metrics
    assert capsys.readouterr().out.splitlines()[-1].split('|')[-2] == ' - '


@pytest.mark.parametrize('arguments', [['p.npz'], ['=p.npz'], ['random=p.npz'], ['a=p', 'a=q']])
def test_a_row_needs_a_name_of_its_own(run, arguments):
    with pytest.raises(UserError, match='NAME'):
        run(*arguments)
