"""Damaged files are refused with a message that names them, or read as they now say."""

import os
import subprocess
import sys

import numpy as np
import pytest
from helpers.fuzz_mutations import BINARY, TEXT
from helpers.fuzz_targets import Target
from helpers.fuzzing import damage, judge


def test_no_damage_hangs_crashes_or_is_silently_wrong():
    done = subprocess.run(
        [sys.executable, '-m', 'helpers.fuzzing', '--cases', '120'],
        env=dict(os.environ, OMP_NUM_THREADS='1', MMPS_INDEX_CACHE='off'),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]


def error(kind, text='{}'):
    def load(root, _):
        raise kind(text.format(root))

    return load


def out_of_memory(root, _):
    try:
        raise MemoryError
    except MemoryError as error:
        raise ValueError(f'{root}') from error


@pytest.mark.parametrize(
    ('load', 'kind'),
    [
        (error(ValueError), 'refused'),
        (error(ValueError, 'something is wrong'), 'message without the file'),
        (error(KeyError), 'wrong exception'),
        (out_of_memory, 'memory'),
        (lambda *_: 'sound', 'unharmed'),
        (lambda *_: 'damaged', 'as the file says'),
        (lambda *_: 'SOUND', 'silently wrong'),
    ],
)
def test_what_a_loader_made_of_damage(tmp_path, load, kind):
    target = Target(lambda _: None, (), load, lambda *_: 'damaged')
    assert judge(target, tmp_path, False, 'sound')[0] == kind


@pytest.mark.parametrize('suffix', ['mat', 'txt'])
def test_damage_is_the_same_for_the_same_seed_and_mostly_damages(suffix):
    content = bytes(range(256)) * 3
    changed = 0
    for case in range(100):
        first, second = (
            damage(content, f'a.{suffix}', np.random.default_rng(case)) for _ in range(2)
        )
        assert first == second
        changed += first[0] != content
    assert changed > 90


@pytest.mark.parametrize(
    'mutation', dict.fromkeys(BINARY + TEXT), ids=lambda mutation: mutation.__name__
)
@pytest.mark.parametrize('content', [b'', b'7', b'{"a": [1, 2]}'])
def test_every_damage_takes_any_file(mutation, content):
    for seed in range(20):
        if content or mutation.__name__ in ('truncate', 'insert_text', 'pickle_instead'):
            assert isinstance(mutation(content, np.random.default_rng(seed)), bytes)
