"""Diagnosis of a predictions file against a test set in PRW's layout, without a model."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers.prw_files import write_tiny_prw

from mmps.evaluation.functional import (
    SearchGalleries,
    SearchPredictions,
    SearchProtocols,
    save_predictions,
)
from mmps.formats import load_scenes
from mmps.formats.prw import PRWFiles
from mmps.formats.scene_index import to_search_annotations
from mmps.utils.errors import UserError
from mmps.visualization import read_image

CONFIG = """
test_dataloader = dict(dataset=dict(type='PRWDataset', data_root='{root}', test_mode=True))
test_evaluator = dict(type='PersonSearchMetric')
"""


@pytest.fixture(scope='module')
def case(tmp_path_factory):
    """Data root, annotations, and predictions with random embeddings near the annotated boxes."""
    root = write_tiny_prw(tmp_path_factory.mktemp('diagnose') / 'prw', test_frames=6, num_ids=9)
    annotations = to_search_annotations(load_scenes(PRWFiles(root=root, test_mode=True))[0])
    rng = np.random.default_rng(0)
    people = len(annotations.bboxes)
    rows = rng.standard_normal((2 * people + annotations.num_queries, 8))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    predictions = SearchPredictions(
        image_names=annotations.image_names,
        image_splits=annotations.box_splits,
        bboxes=annotations.bboxes + rng.uniform(-4, 4, (people, 4)),
        scores=rng.uniform(0.4, 1, people),
        embeddings=rows[:people],
        query_embeddings=rows[2 * people :],
        gt_embeddings=rows[people : 2 * people],
    )
    return root, annotations, predictions


@pytest.fixture
def run(load_tool, tmp_path, case):
    """Run the tool on the predictions."""
    tool = load_tool('analysis_tools/diagnose.py')
    root, _, predictions = case
    save_predictions(tmp_path / 'p.npz', predictions)
    (tmp_path / 'config.py').write_text(CONFIG.format(root=root))

    def run(*arguments):
        tool.main([str(tmp_path / 'config.py'), str(tmp_path / 'p.npz'), *arguments])

    return run


@pytest.mark.parametrize(
    ('suffix', 'options'),
    [
        ('', {}),
        ('_iou75', {}),
        ('_gt_boxes', {}),
        ('_cross_camera', {'confidence_weighting': True, 'score_thr': 0.6}),
    ],
)
def test_what_is_missing_is_what_the_metric_misses(run, case, tmp_path, suffix, options):
    changes = [f'test_evaluator.{name}={value}' for name, value in options.items()]
    arguments = ['--cfg-options', *changes] if changes else []
    run('--key', f'search/mAP{suffix}', '--out', str(tmp_path / 'd.json'), *arguments)
    report = json.loads((tmp_path / 'd.json').read_text())
    metrics = SearchProtocols(cross_camera=True, **options)(*case[1:])
    want = metrics[f'search/mAP{suffix}']
    assert 0 < want < 1
    assert report['mAP'] == pytest.approx(want, abs=1e-12)
    assert sum(report['parts'].values()) == pytest.approx(1 - want, abs=1e-12)
    assert report['options']['score_thr'] == options.get('score_thr', 0.5)


def test_context_matching_is_diagnosed(run, case, tmp_path):
    options = 'test_evaluator.context_matching.k1=3'
    run('--out', str(tmp_path / 'd.json'), '--cfg-options', options)
    report = json.loads((tmp_path / 'd.json').read_text())
    want = SearchProtocols(context_matching=dict(k1=3))(*case[1:])['search/mAP']
    assert sum(report['parts'].values()) == pytest.approx(1 - want, abs=1e-12)
    assert report['options']['context_matching']['k1'] == 3


def test_table_adds_up(run, capsys):
    run()
    head, _, *parts, together = capsys.readouterr().out.splitlines()
    reached = float(head.split()[1].removesuffix('%,'))
    points = [float(line[36:48]) for line in parts]
    assert len(points) == 8
    assert float(together.split()[-1]) == pytest.approx(100 - reached, abs=0.011)
    assert sum(points) == pytest.approx(100 - reached, abs=0.05)


def test_picture_and_rankings(run, case, tmp_path, capsys):
    run('--out', str(tmp_path / 'out' / 'd.json'), '--show-dir', str(tmp_path / 'sheets'))
    assert read_image(tmp_path / 'out' / 'd.png').shape == (1060, 1300, 3)
    printed = capsys.readouterr().out
    for name in ('worst', 'median'):
        sheet = tmp_path / 'sheets' / name / 'rankings_00.png'
        assert str(sheet) in printed
        assert read_image(sheet).shape[1] > 1000
    searches = json.loads((tmp_path / 'out' / 'd.json').read_text())['searches']
    assert searches['person_id'] == case[1].query_person_ids.tolist()


def test_missing_images_are_named_when_they_have_to_be_drawn(run, tmp_path):
    prefix = 'test_dataloader.dataset.data_prefix.img=elsewhere'
    run('--cfg-options', prefix)
    with pytest.raises(FileNotFoundError, match='elsewhere/c.*jpg does not exist'):
        run('--show-dir', str(tmp_path / 'sheets'), '--cfg-options', prefix)


def test_keys_of_galleries(load_tool, case):
    options = load_tool('analysis_tools/diagnose.py').ranking_options
    protocols = SearchProtocols(gallery_sizes=(50, 'occlusion'))
    listed = SearchGalleries([0, 0], [], [], np.zeros((0, 4)))
    annotations = replace(case[1], galleries={50: listed, 'occlusion': listed})
    assert options(protocols, annotations, 'search/mAP')['gallery_size'] == 50
    for suffix, size in (('_G50', 50), ('_occlusion', 'occlusion'), ('_all', 'all')):
        assert options(protocols, annotations, f'search/mAP{suffix}')['gallery_size'] == size
    with pytest.raises(UserError, match='--key search/mAP_all: choose one of'):
        options(protocols, case[1], 'search/mAP_all')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--key', 'search/top1'], '--key search/top1: choose one of search/mAP, search/mAP_iou75'),
        (['--cfg-options', 'test_evaluator.query_source=detection'], 'cannot be diagnosed'),
        (['--cfg-options', 'test_evaluator.iou_thr=strict'], "iou_thr: 'strict' given"),
        (
            ['--show-dir', 'x', '--cfg-options', 'test_evaluator.context_matching.k1=30'],
            'draws rankings without context matching',
        ),
    ],
)
def test_wrong_settings_are_user_errors(run, arguments, message):
    with pytest.raises(UserError, match=message):
        run(*arguments)
