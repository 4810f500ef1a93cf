"""The comparison with a program in a checkout; here a network of three layers stands for it."""

import argparse
from pathlib import Path

import pytest

from mmps.benchmark import peer
from mmps.engine import amp

PROGRAM = """
import torch
from torch import nn


class Network(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.transform, self.roi_heads = nn.Module(), nn.Module()
        self.roi_heads.score_thresh = 0.5
        self.roi_heads.faster_rcnn_predictor = nn.Module()
        self.roi_heads.faster_rcnn_predictor.cls_score = nn.Linear(4, 2)

    def forward(self, images, targets=None):
        x = self.norm(self.conv(torch.stack(images))).mean(3)
        scores = self.roi_heads.faster_rcnn_predictor.cls_score(x.transpose(1, 2).flatten(0, 1))
        if not self.training:
            return scores
        (target,) = targets
        assert target['boxes'].shape == (4, 4) and target['labels'].tolist() == [1, 2, 3, 5555]
        return {'loss': scores.square().mean()}


SeqNet = Network
"""
CONFIG = """
class Config:
    def merge_from_file(self, path):
        open(path).close()


def get_default_cfg():
    return Config()
"""


@pytest.fixture
def checkout(tmp_path):
    files = {
        'models/__init__.py': '',
        'models/seqnet.py': PROGRAM,
        'defaults.py': CONFIG,
        'configs/prw.yaml': '',
        'torchvision/__init__.py': '',
        'torchvision/models/__init__.py': '',
        'torchvision/models/resnet.py': 'resnet50 = None',
    }
    for name, text in files.items():
        path = Path(tmp_path, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.mark.parametrize('training', [False, True])
def test_both_are_timed_in_turn(training, checkout, slim_config, monkeypatch):
    monkeypatch.setattr(peer, '_precisions', lambda: ('float32', 'bfloat16'))
    monkeypatch.setattr(amp, 'cpu_has_bfloat16', lambda: True)
    parser = argparse.ArgumentParser()
    peer.add_arguments(parser)
    words = [str(checkout), '--networks', str(slim_config), '--size=128x96', '--rounds=2']
    measured = peer.run(parser.parse_args(words + ['--training'] * training))
    ours = Path(slim_config).stem
    names = [peer.PROGRAM, f'{ours}, float32', f'{ours}, bfloat16']
    found = {}
    for m in measured:
        found.setdefault(m.stage, {})[m.name] = m.value
    assert list(found) == [*names, *(f'{name}, beside 1 busy' for name in names)]
    # A 3 x 3 convolution from 3 to 4 channels, and a linear layer on each of 96 rows; backwards the
    # picture needs no gradient.
    convolution, linear = 2 * 27 * 4 * 96 * 128, 2 * 4 * 2 * 96
    expected = 2 * convolution + 3 * linear if training else convolution + linear
    assert found[peer.PROGRAM]['operations per image'] == pytest.approx(expected / 1e9)
    for name, row in found.items():
        assert 0 < row['least'] <= row['as fast'] <= row['most']
        assert row['per image'] > 0
        assert name not in (peer.PROGRAM, f'{peer.PROGRAM}, beside 1 busy') or row['most'] == 1


def test_the_load_ends_with_its_context():
    with peer.busy(2) as processes:
        assert [process.poll() for process in processes] == [None, None]
    assert all(process.returncode is not None for process in processes)
