"""The grids that come with the project name configs that exist, and every one of them."""

import pytest

from mmps.registry import MODELS
from mmps.testing.tiny_models import CONFIGS
from mmps.utils.grid import load_grid, make_runs

GRIDS = CONFIGS / 'grids'


def runs_of(name, tmp_path):
    grid = load_grid(GRIDS / name)
    return grid, make_runs(grid, tmp_path, {})


def test_every_cell_of_the_papers_tables_has_its_run(tmp_path):
    grid, runs = runs_of('paper_tables.py', tmp_path)
    detection, search = grid.tables
    cells = {(e.row, e.column) for e in grid.experiments}
    assert len(runs) == len(cells) == 18
    assert cells == {(row, column) for row in search.rows for column in search.columns}
    assert detection.rows.keys() < search.rows.keys()
    # Table I and Table II of the paper, one number each
    assert detection.rows['ResNet50'][detection.columns.index('CUHK-SYSU')] == 0.776
    assert search.rows['DenseNet121_att'][search.columns.index('PRW')] == 0.358
    attention = [run for run in runs if run.config.model.roi_head.get('attention')]
    assert {run.experiment for run in attention} == {
        e.name for e in grid.experiments if e.row.endswith('_att')
    }


@pytest.mark.parametrize(
    ('name', 'folder'),
    [('ablations.py', 'ablations'), ('synthetic_ablations.py', 'ablations/synthetic')],
)
def test_every_ablation_runs(name, folder, tmp_path):
    grid, runs = runs_of(name, tmp_path)
    ablations = {path.stem for path in (CONFIGS / folder).glob('*.py')}
    assert {e.name for e in grid.experiments} == {grid.base} | ablations
    assert len(runs) == sum(len(e.seeds) for e in grid.experiments)
    assert all(len(e.seeds) == 3 for e in grid.experiments if e.name in (grid.base, 'no-att'))


@pytest.mark.parametrize('index', range(6))
def test_synthetic_networks_can_be_built(index, tmp_path):
    grid, runs = runs_of('synthetic.py', tmp_path)
    assert len(runs) == 6
    assert grid.experiments[index].row in grid.tables[1].rows
    model = MODELS.build(runs[index].config.model)
    assert all(parameter.requires_grad for parameter in model.parameters())
