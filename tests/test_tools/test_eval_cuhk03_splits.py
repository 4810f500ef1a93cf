"""Mean and deviation over classic splits, from random predictions for tiny ones."""

import json

import numpy as np
import pytest
from helpers.cuhk03_files import write_tiny_cuhk03

from mmps.evaluation.functional import SearchPredictions, SearchProtocols, save_predictions
from mmps.formats.cuhk03 import CLASSIC_GALLERIES, CUHK03Files
from mmps.formats.scene_index import to_search_annotations
from mmps.utils.errors import UserError

CONFIG = """
test_dataloader = dict(dataset=dict(type={type!r}, data_root={root!r}, test_mode=True, {options}))
test_evaluator = dict(type='PersonSearchMetric', gallery_sizes={galleries!r})
"""
SPLITS = 3


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return write_tiny_cuhk03(tmp_path_factory.mktemp('splits') / 'cuhk03', (5, 4), SPLITS)


@pytest.fixture(scope='module')
def cases(root):
    """By split its test set and predictions for it."""
    found = {}
    for split in range(SPLITS):
        files = CUHK03Files(root, True, protocol='classic', classic_split=split)
        annotations = to_search_annotations(files.read())
        rng = np.random.default_rng(split)
        people = len(annotations.bboxes)
        rows = rng.standard_normal((people + annotations.num_queries, 8))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        found[split] = (
            annotations,
            SearchPredictions(
                image_names=annotations.image_names,
                image_splits=annotations.box_splits,
                bboxes=annotations.bboxes,
                scores=rng.uniform(0.5, 1, people),
                embeddings=rows[:people],
                query_embeddings=rows[people:],
            ),
        )
    return found


@pytest.fixture
def run(load_tool, root, cases, tmp_path):
    tool = load_tool('analysis_tools/eval_cuhk03_splits.py')
    for split, (_, predictions) in cases.items():
        save_predictions(tmp_path / f'p_{split}.npz', predictions)

    def run(
        *arguments, pattern='p_{split}.npz', type='CUHK03Dataset', options='', galleries=('new',)
    ):
        values = dict(type=type, root=str(root), options=options, galleries=galleries)
        config = tmp_path / 'config.py'
        config.write_text(CONFIG.format(**values))
        tool.main([str(config), str(tmp_path / pattern), *arguments])

    return run


def expected(cases, splits, galleries=CLASSIC_GALLERIES):
    protocols = SearchProtocols(gallery_sizes=galleries)
    return {split: protocols(*cases[split]) for split in splits}


def test_all_splits_of_a_config_of_the_new_protocol(run, cases, tmp_path, capsys):
    run('--out', str(tmp_path / 'm.json'))
    found = json.loads((tmp_path / 'm.json').read_text())
    want = expected(cases, range(SPLITS))
    assert found['splits'] == {str(split): metrics for split, metrics in want.items()}
    assert len({metrics['search/top1'] for metrics in want.values()}) == SPLITS
    for key in ('search/top1', 'search/top5_classic_any_view', 'search/mAP_classic_all', 'det/AP'):
        values = [metrics[key] for metrics in want.values()]
        assert found['mean'][key] == pytest.approx(np.mean(values))
        assert found['deviation'][key] == pytest.approx(np.std(values, ddof=1))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:2] == [
        f'{found["mean"]["search/mAP"]:.2%}',
        f'{found["mean"]["search/top1"]:.2%}',
    ]
    assert lines[2].split()[:2] == ['+-', f'{100 * found["deviation"]["search/mAP"]:.2f}']
    assert lines[-1] == 'mean and standard deviation of 3 splits'


def test_chosen_splits_and_the_galleries_of_a_classic_config(run, cases, tmp_path):
    for split in (0, 1):
        (tmp_path / f'p_{split}.npz').rename(tmp_path / f'p_{split}.kept')
    (tmp_path / 'p_1.kept').rename(tmp_path / 'p_1.npz')
    run(
        *('--splits', '2', '1', '--out', str(tmp_path / 'm.json')),
        options="protocol='classic', classic_split=2",
        galleries=('classic_all',),
    )
    found = json.loads((tmp_path / 'm.json').read_text())
    want = expected(cases, (2, 1), ('classic_all',))
    assert found['splits'] == {str(split): metrics for split, metrics in want.items()}
    assert list(found['mean']) == list(want[2])


@pytest.mark.parametrize(
    ('arguments', 'options', 'message'),
    [
        ((), dict(pattern='p_0.npz'), r'p_0\.npz has no \{split\} in it'),
        ((), dict(pattern='q_{split}.npz'), r'q_0\.npz does not exist \(3 of 3 files .*--splits'),
        ((), dict(type='PRWDataset'), 'config.py is PRWDataset; only CUHK03Dataset'),
        (('--splits', '0', '3'), {}, '--splits 3: the data set has the splits 0 to 2'),
        (('--splits', '1'), {}, 'name two or more'),
        (('--splits', '1', '1', '2'), {}, 'name two or more, each once'),
    ],
)
def test_senseless_arguments(run, arguments, options, message):
    with pytest.raises(UserError, match=message):
        run(*arguments, **options)


def test_a_file_of_another_split_is_named(run, tmp_path):
    (tmp_path / 'p_0.npz').replace(tmp_path / 'p_1.npz')
    with pytest.raises(UserError, match=r'p_1\.npz: '):
        run('--splits', '1', '2')
