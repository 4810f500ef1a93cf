import json
import math

import pytest

from mmps.utils.grid import load_grid, make_runs, write_report
from mmps.utils.grid.results import Summary

GRID = """
seeds = [0, 1]
metrics = ['search/mAP']
base = 'a'
tables = [
    dict(
        title='Published',
        metric='search/mAP',
        columns=['PRW', 'CUHK03'],
        rows=dict(A=[0.3, 0.6], B=[0.4, 0.7], C=[0.5, 0.8]),
    )
]
experiments = [
    dict(config='a.py', row='A', column='PRW'),
    dict(config='b.py', row='B', column='PRW'),
    dict(name='c', config='b.py', row='A', column='own'),
    dict(name='d', config='b.py'),
]
"""


def test_spread_is_the_sample_standard_deviation():
    summary = Summary((0.1, 0.2, 0.6))
    assert summary.mean == pytest.approx(0.3)
    assert summary.spread == pytest.approx(math.sqrt((0.04 + 0.01 + 0.09) / 2))
    assert Summary((0.1,)).spread is None


def test_difference_of_two_means():
    difference, spread = Summary((0.5, 0.7)).minus(Summary((0.1, 0.3)))
    assert difference == pytest.approx(0.4)
    assert spread == pytest.approx(math.sqrt(0.02 + 0.02))
    assert Summary((0.5,)).minus(Summary((0.1, 0.3))) == (pytest.approx(0.3), None)


@pytest.fixture
def reported(grid_file, tmp_path):
    grid = load_grid(grid_file(GRID))
    runs = make_runs(grid, tmp_path / 'out', {})
    values = {'a_seed0': 0.31, 'a_seed1': 0.33, 'd_seed0': 0.4, 'd_seed1': 0.44, 'c_seed1': 0.2}
    for run in runs:
        run.folder.mkdir(parents=True)
        if run.name in values:
            run.metrics_file.write_text(json.dumps({'search/mAP': values[run.name]}))
    text = write_report(grid, runs, tmp_path / 'out')
    assert (tmp_path / 'out/tables.md').read_text() == text
    return text, json.loads((tmp_path / 'out/tables.json').read_text())


def test_markdown(reported):
    text, _ = reported
    assert (
        text
        == """\
## Published

|  | PRW, paper | PRW, ours | CUHK03, paper | own, ours |
| --- | --- | --- | --- | --- |
| A | 0.300 | 0.320 ± 0.014 | 0.600 | 0.200 |
| B | 0.400 | not run | 0.700 | not run |
| C | 0.500 | not run | 0.800 | not run |

## All experiments: 5 of 8 runs complete

| experiment | seeds | search/mAP |
| --- | --- | --- |
| a | 2/2 | 0.320 ± 0.014 |
| b | 0/2 | not run |
| c | 1/2 | 0.200 |
| d | 2/2 | 0.420 ± 0.028 |

## Difference to a

| experiment | search/mAP |
| --- | --- |
| b | not run |
| c | -0.120 |
| d | +0.100 ± 0.032 |

After "±": standard deviation, over the seeds, of one run minus one run of the base.
"""
    )


def test_json(reported):
    _, found = reported
    assert found['runs']['a_seed1'] == {'search/mAP': 0.33}
    assert found['runs']['b_seed0'] is None
    (table,) = found['tables']
    assert table['paper']['B'] == {'PRW': 0.4, 'CUHK03': 0.7}
    assert table['ours']['A']['PRW']['values'] == [0.31, 0.33]
    assert table['ours']['A']['own']['spread'] is None
    assert table['ours']['B'] == {'PRW': None}
    minus = found['experiments']['d']['metrics']['search/mAP']['minus_base']
    assert minus == {
        'mean': pytest.approx(0.1),
        'spread': pytest.approx(math.hypot(0.02, 0.04) / math.sqrt(2)),
    }
    assert 'minus_base' not in found['experiments']['a']['metrics']['search/mAP']
