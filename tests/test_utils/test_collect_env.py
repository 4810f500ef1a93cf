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
    assert report['cv2'] == cv2.__version__
    assert f'{torch.get_num_threads()} threads' in report['torch build']
    assert 'cores' in report['CPU']
    assert {'git', 'GPU', 'compilers', 'memory', 'platform', 'Python'} <= report.keys()
    assert 'CUDA' in report['mmcv operators']
    unknown = [label for label, value in report.items() if 'Error' in value]
    assert unknown in ([], ['git'])  # git may be missing, or the checkout without a commit


def test_an_entry_that_fails_does_not_hide_the_others(monkeypatch):
    def fail():
        raise OSError('no such thing')

    monkeypatch.setattr(collect_env, '_memory', fail)
    report = collect_env.collect_env()
    assert report['memory'] == 'unknown (OSError: no such thing)'
    assert report['torch'] == torch.__version__


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
    assert torch.__version__ in result.stdout
    assert 'torchvision does not match torch' in result.stderr
    assert 'mmengine cannot be imported' in result.stderr
