"""Killed at any moment and resumed, a training ends with the bits of an uninterrupted one."""

import functools
import random
import shutil
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mmps.engine import AtomicLocalBackend
from mmps.models.detectors import PersonSearch
from mmps.models.losses import OIMLoss
from mmps.utils.checkpoint import read_checkpoint

EPOCHS = 3


def keep_at_call(keep, owner, name, number):
    """Keep the files as the ``number``-th call of a method finds them."""
    method, calls = getattr(owner, name), []

    @functools.wraps(method)
    def counting(*args, **kwargs):
        calls.append(None)
        if len(calls) == number:
            keep()
        return method(*args, **kwargs)

    setattr(owner, name, counting)


def keep_while_writing(keep, number):
    """Keep the files when half of the ``number``-th checkpoint is on the disk."""
    put, calls = AtomicLocalBackend.put, []

    def torn(self, obj, filepath):
        calls.append(None)
        if len(calls) == number:
            half = Path(f'{filepath}.partial')
            put(self, bytes(obj)[: len(obj) // 2], half)
            keep()
            half.unlink()
        put(self, obj, filepath)

    AtomicLocalBackend.put = torn


MOMENTS = {
    'in the first epoch': (keep_at_call, OIMLoss, 'forward', 2),
    'in the second epoch': (keep_at_call, OIMLoss, 'forward', 4),
    'in a table update': (keep_at_call, OIMLoss, '_push', 5),
    # the first is epoch 1, the third too: with its validation, which made it the best
    'while the best checkpoint is written': (keep_while_writing, 2),
    'while a checkpoint is written': (keep_while_writing, 4),
    'in the first validation': (keep_at_call, PersonSearch, 'predict', 2),
    'in the last validation': (keep_at_call, PersonSearch, 'predict', 10),
}


def train(main, arguments, prepare):
    torch.set_num_threads(1)  # OpenMP does not survive a fork
    prepare()
    main(arguments)


def start(load_tool, config_file, work_dir, *options, prepare=lambda: None):
    """Train in a process of its own."""
    arguments = [str(config_file), '--work-dir', str(work_dir), *options]
    process = get_context('fork').Process(
        target=train, args=(load_tool('train.py').main, arguments, prepare)
    )
    process.start()
    return process


def run(*arguments, **keywords):
    """Train in a process of its own and return its exit status."""
    process = start(*arguments, **keywords)
    process.join()
    return process.exitcode


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('misc/kill_and_resume.py')


def options(*more):
    return ('--cfg-options', f'train_cfg.max_epochs={EPOCHS}', *more)


@pytest.fixture(scope='module')
def place(config_file):
    """The work dir of a training, its copies at the moments, and where the whole one goes."""
    return SimpleNamespace(
        **{name: config_file.parent / name for name in ('work_dir', 'copies', 'uninterrupted')}
    )


@pytest.fixture(scope='module')
def uninterrupted(place, config_file, load_tool):
    """A whole training, of which is kept what a kill would have left at each moment."""

    def prepare():
        for moment, (keep_when, *when) in MOMENTS.items():
            copy = place.copies / moment
            keep_when(functools.partial(shutil.copytree, place.work_dir, copy), *when)

    assert run(load_tool, config_file, place.work_dir, *options(), prepare=prepare) == 0
    work_dir = place.work_dir.rename(place.uninterrupted)
    checkpoint = read_checkpoint(work_dir / f'epoch_{EPOCHS}.pth')
    assert checkpoint['state_dict']['roi_head.reid_head.criterion.lut'].norm() > 0
    assert checkpoint['state_dict']['roi_head.reid_head.criterion.queue_pointer'] > 0
    return work_dir


@pytest.mark.parametrize('moment', MOMENTS)
def test_ends_with_the_same_bits(moment, place, uninterrupted, config_file, load_tool, tool):
    shutil.rmtree(place.work_dir, ignore_errors=True)
    shutil.copytree(place.copies / moment, place.work_dir)
    # Other workers than before: augmentation does not depend on them.
    workers = 'train_dataloader.num_workers=2'
    assert run(load_tool, config_file, place.work_dir, '--resume', *options(workers)) == 0
    assert tool.differences(uninterrupted, place.work_dir) == []


class Forked:
    """A training that the tool can watch."""

    def __init__(self, *arguments):
        self.process = start(*arguments)
        self.pid = self.process.pid

    def poll(self):
        return self.process.exitcode

    def wait(self):
        self.process.join()
        return self.process.exitcode


def test_killed_at_random_moments(uninterrupted, config_file, tmp_path, load_tool, tool, capsys):
    """One kill of each kind; ``tools/misc/kill_and_resume.py`` does many."""
    seed = random.randrange(1 << 32)
    kinds = len(set(tool.AIMS))
    print(f'seed {seed}')  # pytest shows it where the test fails
    last, but_one = (
        (uninterrupted / f'epoch_{epoch}.pth').stat().st_mtime for epoch in (EPOCHS, EPOCHS - 1)
    )
    trained = tool.train_with_kills(
        lambda work_dir: Forked(load_tool, config_file, work_dir, '--resume', *options()),
        tmp_path,
        f'epoch_{EPOCHS}.pth',
        period=last - but_one,
        kills=kinds,
        rng=random.Random(seed),
    )
    assert capsys.readouterr().out.count('kill ') == kinds
    assert [tool.differences(uninterrupted, work_dir) for work_dir in trained] == [[]] * len(
        trained
    )
