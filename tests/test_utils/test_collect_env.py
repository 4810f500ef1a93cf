import os
import subprocess
import sys

import cv2
import torch

from mmps.utils import collect_env
from mmps.version import __version__


def test_report_names_what_a_bug_report_needs():
    report = collect_env.collect_env()
    assert report['mmps'].startswith(__version__)
    assert report['torch'] == torch.__version__
    assert report['OpenCV'] == cv2.__version__
    assert report['threads'] == str(torch.get_num_threads())
    assert 'cores' in report['CPU']
    assert {'platform', 'Python', 'CUDA available', 'GCC', 'onedl-mmdetection'} <= report.keys()
    assert 'CUDA' in report['mmcv operators']
    assert not [label for label, value in report.items() if 'Error' in value]


def git(folder, *arguments):
    identity = ('-c', 'user.name=a', '-c', 'user.email=a@example.org')
    subprocess.run(('git', '-C', str(folder), *identity, *arguments), check=True)


def test_the_state_of_a_checkout(tmp_path, monkeypatch):
    assert collect_env.checkout(tmp_path) is None
    git(tmp_path, 'init', '--quiet')
    assert collect_env.checkout(tmp_path) is None  # there is no commit
    (tmp_path / 'a.py').write_text('a = 1\n')
    git(tmp_path, 'add', 'a.py')
    git(tmp_path, 'commit', '--quiet', '-m', 'a')
    (tmp_path / 'new').mkdir()
    state = collect_env.checkout(tmp_path / 'new')
    assert (state['root'], state['changed']) == (str(tmp_path), [])
    assert len(state['commit']) == 40
    (tmp_path / 'a.py').write_text('a = 2\n')
    state = collect_env.checkout(tmp_path / 'new')
    assert state['changed'] == [' M a.py']
    assert state['diff'].endswith('-a = 1\n+a = 2\n')
    monkeypatch.setenv('PATH', '')
    assert collect_env.checkout(tmp_path) is None


def test_check_passes_here(capsys):
    assert collect_env.main(['--check']) == 0
    assert capsys.readouterr().out == 'mmps can run here\n'


def test_survives_a_broken_environment(tmp_path):
    """With a torchvision that does not match, mmengine's own report dies; this one must not."""
    (tmp_path / 'torchvision.py').write_text("raise RuntimeError('torchvision::nms')")
    (tmp_path / 'mmengine.py').write_text("raise ImportError('broken')")
    result = subprocess.run(
        [sys.executable, '-m', 'mmps.utils.collect_env'],
        env=os.environ | {'PYTHONPATH': str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert torch.__version__ in result.stdout and 'broken' in result.stdout
    assert 'torchvision does not match torch' in result.stderr
    assert 'mmengine cannot be imported' in result.stderr
