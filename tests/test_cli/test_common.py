import argparse
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from torch import distributed, nn

from mmps.cli import common
from mmps.cli.search import add_filter_arguments, where_of
from mmps.models.losses import OIMLoss
from mmps.retrieval import Where
from mmps.utils.config import load_config, require_entries
from mmps.utils.environment import EnvironmentProblem
from mmps.utils.errors import DataError, UserError


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / 'my_model.py'
    path.write_text("model = dict(type='A', depth=3)\nlr = 0.1\n")
    return path


def run_arguments(config, *rest):
    parser = common.config_parser('test')
    common.add_run_arguments(parser)
    return parser.parse_args([str(config), *rest])


@pytest.mark.parametrize('error', [UserError, FileNotFoundError, EnvironmentProblem])
def test_user_error_is_one_line_and_status_2(error, capsys):
    def main():
        raise error('config x.py does not exist')

    with pytest.raises(SystemExit) as stopped:
        common.run_tool(main)
    assert stopped.value.code == 2
    assert capsys.readouterr().err == 'error: config x.py does not exist\n'


class OneImage(torch.utils.data.Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise DataError('a.jpg: truncated;\nfetch it again')


def test_an_error_of_a_process_that_loads_data_is_as_short(capsys):
    loader = torch.utils.data.DataLoader(OneImage(), num_workers=1)
    with pytest.raises(SystemExit):
        common.run_tool(lambda: list(loader))
    assert capsys.readouterr().err == 'error: a.jpg: truncated;\nfetch it again\n'


@pytest.mark.parametrize('encoding', ['cp1252', 'ascii', 'latin-1', 'utf-8', 'cp932'])
def test_no_character_ends_a_tool(encoding):
    """Names of files, cameras and people hold anything, on any terminal."""
    text = '大厅 é \udcff \U0001f600'
    code = (
        'from mmps.cli.common import UserError, run_tool\n'
        'def main():\n'
        f'    print({ascii(text)})\n'
        f'    raise UserError({ascii(text)})\n'
        'run_tool(main, needs_mmdet=False)\n'
    )
    environment = {**os.environ, 'PYTHONIOENCODING': encoding}
    result = subprocess.run(
        [sys.executable, '-c', code], env=environment, capture_output=True, check=False
    )
    printed = text.encode(encoding, 'backslashreplace').decode(encoding)
    assert result.returncode == 2
    assert result.stdout.decode(encoding) == f'{printed}\n'
    assert result.stderr.decode(encoding) == f'error: {printed}\n'


def test_a_reader_who_has_enough_is_no_error():
    code = (
        'from mmps.cli.common import run_tool\n'
        'run_tool(lambda: print(*range(10**6)) or print(*range(10**6)), needs_mmdet=False)\n'
    )
    command = [sys.executable, '-c', code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b''
    assert process.returncode == 0


def test_weights_of_a_checkpoint_are_counted(tmp_path):
    model = nn.Sequential(nn.Linear(2, 3), OIMLoss(5, 3, queue_size=4))
    runner = SimpleNamespace(model=model, cfg=SimpleNamespace(model={}))
    other = nn.Sequential(nn.Linear(2, 3), OIMLoss(7, 3, queue_size=4))  # of another training set
    torch.save(other.state_dict(), tmp_path / 'fits.pth')
    assert common.check_weights(runner, str(tmp_path / 'fits.pth')) == (4, 5)
    torch.save(nn.Sequential(nn.Linear(2, 4)).state_dict(), tmp_path / 'foreign.pth')
    with pytest.raises(UserError, match=r'foreign.pth is of another model than the config: of 5 w'):
        common.check_weights(runner, str(tmp_path / 'foreign.pth'))


def test_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        common.run_tool(lambda: 1 / 0)


def test_broken_environment_stops_before_the_tool(monkeypatch, capsys):
    def broken():
        raise EnvironmentProblem('mmcv has no operators')

    monkeypatch.setattr(common, 'require_environment', broken)
    with pytest.raises(SystemExit):
        common.run_tool(lambda: pytest.fail('the tool was run'))
    assert 'mmcv has no operators' in capsys.readouterr().err


def test_missing_config_suggests_similar_names(config_file):
    with pytest.raises(UserError, match=r'my_modle.py does not exist; did you mean .*my_model'):
        load_config(str(config_file.with_name('my_modle.py')), {})
    with pytest.raises(UserError, match='does not exist$'):
        load_config(str(config_file.parent / 'nowhere/zzz.py'), {})


def test_broken_config_names_the_file(tmp_path):
    path = tmp_path / 'broken.py'
    path.write_text('model = dict(\n')
    with pytest.raises(UserError, match=r'broken.py cannot be read: SyntaxError'):
        load_config(str(path), {})
    path.write_text("_base_ = './gone.py'\n")
    with pytest.raises(UserError, match=r'broken.py cannot be read: .*gone.py'):
        load_config(str(path), {})


def test_options_change_the_config(config_file):
    arguments = run_arguments(config_file, '--cfg-options', 'model.depth=5', 'lr=0.2', 'a.b=[1,2]')
    config = load_config(arguments.config, arguments.cfg_options)
    assert (config.model.depth, config.model.type, config.lr) == (5, 'A', 0.2)
    assert config.a.b == [1, 2]


@pytest.mark.parametrize('option', ['lr', 'lr=dict(k1=1)', 'lr=[dict(a=1,b=2)]', 'lr=[1,(2'])
def test_option_that_cannot_be_read(config_file, option, capsys):
    with pytest.raises(SystemExit) as ended:
        run_arguments(config_file, '--cfg-options', option)
    assert ended.value.code == 2
    assert f'{option!r} is not KEY=VALUE' in capsys.readouterr().err


def test_option_that_does_not_fit(config_file):
    with pytest.raises(UserError, match='--cfg-options do not fit config .*my_model.py'):
        load_config(str(config_file), {'lr.0': 1})


def test_work_dir_of_command_line_then_config_then_file_name(config_file):
    assert common.load_run_config(run_arguments(config_file)).work_dir == 'work_dirs/my_model'
    with config_file.open('a') as file:
        file.write("work_dir = 'from_config'\n")
    assert common.load_run_config(run_arguments(config_file)).work_dir == 'from_config'
    arguments = run_arguments(config_file, '--work-dir', 'given')
    assert common.load_run_config(arguments).work_dir == 'given'


def test_launcher_without_torchrun_is_explained(config_file, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    for name in ('RANK', 'WORLD_SIZE', 'MASTER_ADDR'):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match='RANK, WORLD_SIZE not set.*torchrun'):
        common.load_run_config(run_arguments(config_file, '--launcher', 'pytorch'))
    with pytest.raises(UserError, match='SLURM_PROCID, .* not set.*srun'):
        common.load_run_config(run_arguments(config_file, '--launcher', 'slurm'))


def test_sync_bn_on_a_cpu_is_explained(config_file, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    options = ('--launcher', 'pytorch', '--cfg-options', 'sync_bn=torch')
    with pytest.raises(UserError, match="sync_bn='torch' needs GPUs"):
        common.load_run_config(run_arguments(config_file, *options))


TORCHRUN = {'RANK': '0', 'WORLD_SIZE': '1', 'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': '0'}
SLURM = {
    'SLURM_PROCID': '0',
    'SLURM_LOCALID': '0',
    'SLURM_NTASKS': '1',
    'SLURM_NODELIST': 'node[1-2]',
    'MASTER_PORT': '0',
}


@pytest.mark.parametrize(('launcher', 'ranks'), [('pytorch', TORCHRUN), ('slurm', SLURM)])
def test_cpu_ranks_meet_over_gloo(config_file, tmp_path, monkeypatch, launcher, ranks):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    for name in (*TORCHRUN, 'LOCAL_RANK'):
        monkeypatch.setenv(name, '')  # restored afterwards
        monkeypatch.delenv(name)
    for name, value in ranks.items():
        monkeypatch.setenv(name, value)
    scontrol = tmp_path / 'scontrol'
    scontrol.write_text('#!/bin/sh\n[ "$*" = "show hostnames node[1-2]" ] && echo localhost node2')
    scontrol.chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path), prepend=os.pathsep)
    try:
        config = common.load_run_config(run_arguments(config_file, '--launcher', launcher))
        assert distributed.get_backend() == 'gloo'
    finally:
        distributed.destroy_process_group()
    # Left to mmengine, device_ids would be [LOCAL_RANK], which DDP refuses for a model on the CPU,
    # and broadcast_buffers would be True, which would overwrite OIM's tables with rank 0's.
    assert config.model_wrapper_cfg.device_ids is None
    assert config.model_wrapper_cfg.broadcast_buffers is False
    assert config.model_wrapper_cfg.find_unused_parameters is False


def test_single_process_needs_no_group(config_file):
    config = common.load_run_config(run_arguments(config_file))
    assert config.launcher == 'none'
    assert 'model_wrapper_cfg' not in config
    assert not distributed.is_initialized()


def test_require_entries():
    config = Config(dict(model=dict(type='A'), test_evaluator=None))
    require_entries(config, 'x.py', ('model',))
    with pytest.raises(UserError, match='config x.py has no test_evaluator, test_cfg'):
        require_entries(config, 'x.py', ('model', 'test_evaluator', 'test_cfg'))


def test_help_needs_no_config(capsys):
    parser = common.config_parser('what it does')
    assert isinstance(parser, argparse.ArgumentParser)
    with pytest.raises(SystemExit) as stopped:
        parser.parse_args(['--help'])
    assert stopped.value.code == 0
    assert '--cfg-options' in capsys.readouterr().out


def test_clothes_on_the_command_line(capsys):
    parser = argparse.ArgumentParser()
    add_filter_arguments(parser)
    assert where_of(parser.parse_args([])) == Where()
    where = where_of(parser.parse_args(['--upper', 'red', 'white', '--lower', 'black']))
    assert where == Where(upper=['red', 'white'], lower=['black'])
    with pytest.raises(SystemExit):
        parser.parse_args(['--upper', 'navy'])
    assert "invalid choice: 'navy'" in capsys.readouterr().err
