"""Is B better than A, on a test set in PRW's layout."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers.prw_files import write_tiny_prw

from mmps.evaluation.functional import SearchPredictions, save_predictions
from mmps.formats import load_scenes, scene_files
from mmps.formats.scene_index import to_search_annotations
from mmps.utils.errors import UserError

CONFIG = """
test_dataloader = dict(dataset=dict(type='PRWDataset', data_root='{root}', test_mode=True))
test_evaluator = dict(type='PersonSearchMetric')
"""


@pytest.fixture
def files(tmp_path):
    """A config, predictions with a direction per person, and the same with noise."""
    root = write_tiny_prw(tmp_path / 'prw')
    config = tmp_path / 'config.py'
    config.write_text(CONFIG.format(root=root))
    dataset = dict(type='PRWDataset', data_root=str(root), test_mode=True)
    annotations = to_search_annotations(load_scenes(scene_files(dataset))[0])
    people = np.unique(annotations.person_ids)
    look = np.eye(len(people))[np.searchsorted(people, annotations.person_ids)]
    good = SearchPredictions(
        image_names=annotations.image_names,
        image_splits=annotations.box_splits,
        bboxes=annotations.bboxes,
        scores=np.ones(len(look)),
        embeddings=look,
        query_embeddings=np.eye(len(people))[np.searchsorted(people, annotations.query_person_ids)],
    )
    noisy = look + np.random.default_rng(0).normal(0, 2, look.shape)
    noisy /= np.linalg.norm(noisy, axis=1, keepdims=True)
    save_predictions(tmp_path / 'good.npz', good)
    save_predictions(tmp_path / 'bad.npz', replace(good, embeddings=noisy))
    return tmp_path


@pytest.fixture
def compare(load_tool, files):
    tool = load_tool('analysis_tools/compare_predictions.py')

    def run(first, second, *arguments):
        tool.main([str(files / name) for name in ('config.py', first, second)] + list(arguments))

    return run


def test_better_predictions_are_called_better(compare, files, capsys):
    out = files / 'comparison.json'
    compare('bad.npz', 'good.npz', '--resamples', '500', '--out', str(out))
    numbers = json.loads(out.read_text())
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == numbers['verdict']
    found = numbers['search/mAP']
    assert found['second'] == 1 > found['first']
    assert found['interval']['low'] <= 1 - found['first'] <= found['interval']['high']
    assert [line.split()[0] for line in printed[1:3]] == ['mAP', 'top1']
    better = f'{files}/good.npz is better than {files}/bad.npz: mAP 100.00% against '
    assert numbers['verdict'].startswith(better) == (found['p_value'] < 0.05)


def test_several_seeds_of_a_side_count_with_their_means(compare, files, capsys):
    for number, name in enumerate(('good', 'bad', 'bad')):
        (files / f'a_seed{number}.npz').write_bytes((files / f'{name}.npz').read_bytes())
    found = {}
    for first in ('bad.npz', 'a_seed*.npz'):
        compare(first, 'good.npz', '--resamples', '500', '--out', str(files / 'c.json'))
        found[first] = json.loads((files / 'c.json').read_text())['search/mAP']
    bad, mixed = found.values()
    assert mixed['first_values'] == [1, bad['first'], bad['first']]
    assert mixed['first'] == pytest.approx((1 + 2 * bad['first']) / 3)
    # the same queries are lost, by two thirds as much
    assert mixed['interval']['high'] == pytest.approx(2 / 3 * bad['interval']['high'])
    assert (mixed['worse'], mixed['better']) == (bad['worse'], bad['better'])
    spread = 100 * (1 - bad['first']) / 3**0.5
    assert f'+- {spread:.2f}' in capsys.readouterr().out


def test_predictions_equal_themselves(compare, capsys):
    compare('good.npz', 'good.npz')
    assert 'do every search equally well' in capsys.readouterr().out


def test_what_cannot_be_done_is_a_user_error(compare):
    with pytest.raises(UserError, match='confidence: 95.0 given'):
        compare('good.npz', 'bad.npz', '--confidence', '95')
    with pytest.raises(FileNotFoundError, match=r'gone\.npz: no such predictions file'):
        compare('good.npz', 'gone.npz')
