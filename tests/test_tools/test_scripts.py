"""The tools as a shell sees them."""

import os
import subprocess
import sys

import pytest


def run(*command, **environment):
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, env=os.environ | environment
    )


def test_dist_train_command(tools):
    result = run(tools / 'dist_train.sh', 'c.py', '2', '--amp', PYTHON='echo', PORT='29511')
    assert result.stdout.split() == [
        '-m',
        'torch.distributed.run',
        '--nnodes=1',
        '--node_rank=0',
        '--nproc_per_node=2',
        '--master_addr=127.0.0.1',
        '--master_port=29511',
        f'{tools}/train.py',
        'c.py',
        '--launcher',
        'pytorch',
        '--amp',
    ]


def test_dist_test_command(tools):
    result = run(
        tools / 'dist_test.sh',
        'c.py',
        'a b.pth',
        '4',
        '--out',
        'p.npz',
        PYTHON='echo',
        NNODES='2',
        NODE_RANK='1',
        MASTER_ADDR='10.0.0.1',
    )
    assert '--nnodes=2 --node_rank=1 --nproc_per_node=4 --master_addr=10.0.0.1' in result.stdout
    assert result.stdout.endswith('test.py c.py a b.pth --launcher pytorch --out p.npz\n')


@pytest.mark.parametrize(
    ('script', 'argument', 'ending'),
    [
        ('slurm_train.sh', 'dir', 'train.py c.py --work-dir dir --launcher slurm --amp\n'),
        ('slurm_test.sh', 'w.pth', 'test.py c.py w.pth --launcher slurm --amp\n'),
    ],
)
def test_slurm_command(tools, tmp_path, script, argument, ending):
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\necho "$@"\n')
    srun.chmod(0o755)
    result = run(
        tools / script,
        'gpu',
        'job',
        'c.py',
        argument,
        '--amp',
        PATH=f'{tmp_path}:{os.environ["PATH"]}',
        GPUS='4',
        SRUN_ARGS='--time=1:00 --mem=8G',
    )
    assert '--partition=gpu --job-name=job' in result.stdout
    assert '--ntasks=4 --ntasks-per-node=4 --gres=gpu:4' in result.stdout
    assert '--time=1:00 --mem=8G' in result.stdout
    assert result.stdout.endswith(ending)


@pytest.mark.parametrize(
    'script', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh']
)
def test_script_without_arguments_shows_its_usage(tools, script):
    result = run(tools / script)
    assert result.returncode != 0
    assert f'usage: tools/{script}' in result.stderr


def test_missing_config_is_one_line_and_status_2(tools, tmp_path):
    result = run(sys.executable, tools / 'train.py', tmp_path / 'none.py')
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1] == f'error: config {tmp_path}/none.py does not exist'
    assert 'Traceback' not in result.stderr


def test_print_config(load_tool, tmp_path, capsys):
    (tmp_path / 'base.py').write_text('model = dict(a=1, b=2)\n')
    (tmp_path / 'child.py').write_text("_base_ = './base.py'\nmodel = dict(b=3)\n")
    arguments = [str(tmp_path / 'child.py'), '--cfg-options', 'model.c=4']
    load_tool('misc/print_config.py').main(arguments)
    printed = {}
    exec(capsys.readouterr().out, printed)
    assert printed['model'] == dict(a=1, b=3, c=4)
