"""The grid tool on the tiny config, with the real tools behind it."""

import json
import signal

import pytest

from mmps.utils.errors import UserError

GRID = """
metrics = ['search/mAP', 'det/AP']
tables = [
    dict(title='Table', metric='search/mAP', columns=['PRW'], rows=dict(tiny=[0.25], other=[0.5]))
]
options = {'test_evaluator.score_thr': 0.0}
experiments = [dict(config='tiny.py', row='tiny', column='PRW')]
"""


@pytest.fixture
def run_grid(config_file, load_tool, tmp_path, monkeypatch):
    monkeypatch.setattr(signal, 'signal', lambda *_: None)
    grid = config_file.parent / 'grid.py'
    grid.write_text(GRID)

    def run(*arguments):
        words = [grid, '--work-dir', tmp_path, *arguments]
        load_tool('run_grid.py').main([str(word) for word in words])

    return run


def test_it_ends_with_the_tables(run_grid, tmp_path, capfd):
    run_grid()
    said = capfd.readouterr().out
    assert '[1/1] tiny_seed0: complete' in said
    assert '| tiny | 0.250 | 0.' in said
    assert '| other | 0.500 | not run |' in said
    metrics = json.loads((tmp_path / 'tiny_seed0/metrics.json').read_text())
    report = json.loads((tmp_path / 'tables.json').read_text())
    found = report['experiments']['tiny']['metrics']['search/mAP']
    assert found['values'] == [metrics['search/mAP']]
    assert (tmp_path / 'tiny_seed0/final.pth').resolve().name == 'epoch_1.pth'
    run_grid('--list')
    assert capfd.readouterr().out == 'tiny_seed0: complete\n'


def test_what_failed_is_named_with_its_log(run_grid, tmp_path):
    folder = tmp_path / 'tiny_seed0'
    folder.mkdir()
    (folder / 'predictions.npz').write_text('no predictions')
    with pytest.raises(UserError) as caught:
        run_grid()
    message = str(caught.value)
    assert message.startswith('1 of 1 runs failed:\n  tiny_seed0: evaluate: exit status 2: error: ')
    assert message.endswith(f'(log: {folder}/evaluate.log)')


def test_only_takes_what_matches(run_grid):
    with pytest.raises(UserError, match="no run matches 'huge'; there are tiny_seed0"):
        run_grid('--only', 'huge')
    with pytest.raises(UserError, match='no regular expression'):
        run_grid('--only', '(')
