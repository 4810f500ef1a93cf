"""The grids that come with the project name configs that exist, and every one of them."""

import functools
from pathlib import Path

import torch
from mmengine.config import Config

from mmps.cli.grid import load_grid, make_runs
from mmps.formats.cuhk03 import CLASSIC_GALLERIES
from mmps.registry import MODELS
from mmps.testing.scenes import random_scenes
from mmps.testing.tiny_models import CONFIGS

GRIDS = CONFIGS / 'grids'


@functools.cache
def runs_of(name):
    grid = load_grid(GRIDS / name)
    # Some start from what others leave in the folder that is the default.
    return grid, make_runs(grid, Path('work_dirs/grids', name).with_suffix(''), {})


def test_every_cell_of_the_papers_tables_has_its_run():
    grid, runs = runs_of('paper_tables.py')
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


def test_every_ablation_runs():
    grid, runs = runs_of('ablations.py')
    ablations = {path.stem for path in (CONFIGS / 'ablations').glob('*.py')}
    assert {e.name for e in grid.experiments} == {grid.base} | ablations
    assert len(runs) == 3 * len(grid.experiments)


def test_grids_are_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    there = str((CONFIGS / 'ps_resnet50_cuhk03.py').resolve())
    for name in ('configs/grids/cuhk03_classic.py', 'cuhk03_classic'):
        assert {row.config for row in load_grid(name).experiments} == {there}


def test_each_classic_split_of_cuhk03_is_trained_and_tested_on_itself():
    _, runs = runs_of('cuhk03_classic.py')
    assert [run.name for run in runs] == [f'split{n}_seed0' for n in range(20)]
    for split, run in enumerate(runs):
        for part in ('train', 'val', 'test'):
            data = run.config[f'{part}_dataloader'].dataset
            assert (data.protocol, data.classic_split) == ('classic', split)
        for part in ('val', 'test'):
            assert run.config[f'{part}_evaluator'].gallery_sizes == CLASSIC_GALLERIES


def test_every_ablation_of_the_quick_start_changes_something_of_its_base():
    grid, runs = runs_of('synthetic_ablations.py')
    base = next(run.config for run in runs if run.experiment == grid.base)
    ours = Config.fromfile(CONFIGS / 'quick_start/ps_densenet_slim_att_synthetic.py')
    assert base.model == ours.model
    assert base.train_dataloader == ours.train_dataloader
    assert base.train_cfg.max_epochs == 2
    trained = {}
    for run in runs:
        config = run.config
        trained.setdefault(f'{config.model} {config.train_dataloader}', set()).add(run.experiment)
    assert sorted(map(len, trained.values())) == [1] * 31
    assert all(
        len(e.seeds) == (3 if e.name in ('base', 'no-att', 'no-stn', 'separate-fine') else 1)
        for e in grid.experiments
    )
    (augmented,) = (run for run in runs if run.experiment == 'augment-paper')
    theirs = Config.fromfile(CONFIGS / '_base_/datasets/scenes.py').augmentation
    steps = augmented.config.train_dataloader.dataset.pipeline
    assert [step for step in steps if step.type == 'RandomApply'] == theirs
    assert [step for step in steps if step not in theirs] == ours.train_pipeline


def test_methods_are_compared_on_the_same_stem_images_and_steps():
    grid, runs = runs_of('synthetic_methods.py')
    base = next(run.config for run in runs if run.experiment == grid.base)
    for run in runs:
        ours, theirs = run.config, base
        assert ours.model.backbone == theirs.model.backbone
        assert ours.model.rpn_head == theirs.model.rpn_head
        assert ours.train_dataloader == theirs.train_dataloader
        assert ours.optim_wrapper == theirs.optim_wrapper
        assert ours.train_cfg == theirs.train_cfg
    stages = {r.experiment: len(r.config.model.roi_head.get('stages', [1])) for r in runs}
    assert stages == {'base': 1, 'nae': 1, 'seqnet': 2, 'coat': 3, 'seqnet-cells': 2}


def test_synthetic_networks_can_be_built():
    grid, runs = runs_of('synthetic.py')
    assert len(runs) == 6
    for experiment, run in zip(grid.experiments, runs, strict=True):
        assert experiment.row in grid.tables[1].rows
        model = MODELS.build(run.config.model)
        assert all(parameter.requires_grad for parameter in model.parameters())


def test_runs_on_real_people_start_from_what_ran_before_them():
    _, runs = runs_of('real_people.py')
    done, started = set(), 0
    for run in runs:
        sources = [run.config.get('load_from'), run.config.model.get('detector_from')]
        assert {Path(source) for source in sources if source} <= done
        started += sum(map(bool, sources))
        done.add(run.folder / f'train/epoch_{run.config.train_cfg.max_epochs}.pth')
    # Rendered people, and three seeds of real ones, start from random weights.
    assert started == len(runs) - 4


def test_networks_compared_on_one_detector_differ_in_re_id_alone():
    grid, _ = runs_of('real_people.py')
    base, other = (
        next(e for e in grid.experiments if e.name == name)
        for name in ('reid_alone_no-att', 'reid_alone')
    )
    assert base.seeds == other.seeds == (0, 1, 2)
    assert base.options == other.options
    models = [Config.fromfile(e.config).model for e in (base, other)]
    assert models[0].roi_head.reid_network.pop('attention') is None
    assert models[1].roi_head.reid_network.pop('attention')
    assert models[0] == models[1]


def test_the_papers_networks_on_real_people():
    """Two of each stem, with about as many weights; all have the channels that they are given."""
    _, runs = runs_of('real_people_networks.py')
    attention = {run.experiment: run.config.model.roi_head.attention is not None for run in runs}
    models = {run.experiment: MODELS.build(run.config.model) for run in runs}
    assert len(models) == 6
    for name, model in models.items():
        assert attention[name] == name.endswith('-att')
        assert 1e6 < sum(weight.numel() for weight in model.parameters()) < 3e6
        with torch.no_grad():
            (sample,) = model.eval().test_step(random_scenes([[0, 1]]))
        assert sample.pred_instances.embeddings.shape[1] == model.embed_dim
