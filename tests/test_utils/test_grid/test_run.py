import zipfile

import pytest

from mmps.utils.errors import UserError
from mmps.utils.grid import load_grid, make_runs

GRID = "experiments = [dict(config='a.py', seeds=[0, 7], options=dict(stub=dict(score=0.3)))]"


@pytest.fixture
def runs(grid_file, tmp_path):
    return make_runs(load_grid(grid_file(GRID)), tmp_path / 'out', {'stub.fails': 'test'})


def test_one_run_per_seed_with_all_options(runs, tmp_path):
    assert [run.folder for run in runs] == [tmp_path / 'out/a_seed0', tmp_path / 'out/a_seed7']
    assert runs[1].config.randomness.seed == 7
    assert runs[1].config.stub == dict(score=0.3, fails='test')


def test_next_step_follows_from_the_files(runs):
    run = runs[0]
    assert run.next_step() == 'train'
    run.train_dir.mkdir(parents=True)
    (run.train_dir / 'epoch_2.pth').write_bytes(b'')
    assert run.next_step() == 'train'
    run.checkpoint.write_bytes(b'PK\x03\x04 torn')
    assert run.next_step() == 'train'
    zipfile.ZipFile(run.checkpoint, 'w').close()
    assert run.checkpoint.name == 'epoch_3.pth'
    assert run.next_step() == 'test'
    run.predictions.write_bytes(b'')
    assert run.next_step() == 'evaluate'
    assert run.metrics() is None
    run.metrics_file.write_text('{"search/mAP": 0.5}')
    assert run.next_step() is None
    assert run.metrics() == {'search/mAP': 0.5}


def test_the_same_settings_are_accepted_and_others_named(runs, grid_file, tmp_path):
    for run in runs:
        run.write_config()
        run.check_config()
    grid = load_grid(grid_file(GRID))
    options = {'stub.fails': 'train', 'train_cfg.val_interval': 2}
    with pytest.raises(UserError) as caught:
        make_runs(grid, tmp_path / 'out', options)
    message = str(caught.value)
    assert f'{tmp_path}/out/a_seed0 was begun with other settings' in message
    assert "stub.fails was 'test', is 'train'" in message
    assert "train_cfg.val_interval was 'absent', is 2" in message
    runs[0].config_file.unlink()
    runs[1].config_file.unlink()
    make_runs(grid, tmp_path / 'out', options)


def test_options_that_do_not_fit(grid_file, tmp_path):
    grid = load_grid(grid_file("experiments = [dict(config='a.py')]"))
    with pytest.raises(UserError, match='experiment a: options do not fit .*a.py'):
        make_runs(grid, tmp_path / 'out', {'train_cfg.max_epochs.unit': 3})


def test_missing_config(grid_file, tmp_path):
    grid = load_grid(grid_file("experiments = [dict(config='none.py')]"))
    with pytest.raises(UserError, match='none.py does not exist'):
        make_runs(grid, tmp_path / 'out', {})
