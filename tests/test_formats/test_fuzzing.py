"""Damaged files are refused with a message that names them, or read as they now say."""

import os
from collections import Counter

import numpy as np
import pytest
from helpers.fuzz_mutations import BINARY, TEXT
from helpers.fuzz_targets import TARGETS
from helpers.fuzzing import ACCEPTABLE, damage, run_cases

CASES = 120
SLOW = ('hang', 'crash')
"""Loaders that end their process with every case."""

BROKEN = """
import os, pickle
from pathlib import Path
from helpers.fuzz_targets import Target

SOUND = 'sound ' * 40

def write(root):
    (root / 'data.txt').write_text(SOUND)

def loader(broken):
    def load(root, _):
        content = (root / 'data.txt').read_bytes().decode('latin-1')
        return content if content == SOUND else broken(root, content)
    return load

def hang(root, content):
    while True:
        pass

def crash(root, content):
    os.kill(os.getpid(), 11)

def memory(root, content):
    try:
        bytearray(2**30)
    except MemoryError as error:
        raise ValueError(f'{root}') from error

def start(root, content):
    os.system('true')

def unpickle(root, content):
    pickle.loads(pickle.dumps(Path))

def silence(root, content):
    raise ValueError('something is wrong')

def surprise(root, content):
    raise KeyError(str(root))

def swallow(root, content):
    return SOUND.upper()

def right(root, content):
    if len(content) % 2:
        raise ValueError(f'{root}/data.txt is damaged')
    return content

def oracle(root, _):
    return (root / 'data.txt').read_bytes().decode('latin-1')

LOADERS = [hang, crash, memory, start, unpickle, silence, surprise, swallow, right]
TARGETS = {
    load.__name__: Target(write, (('data.txt', False),), loader(load), oracle) for load in LOADERS
}
"""


def test_no_damage_hangs_crashes_or_is_silently_wrong(tmp_path):
    cases = [(name, case) for name in TARGETS for case in range(CASES)]
    outcomes = list(run_cases(cases, seed=0, folder=tmp_path))
    assert [(outcome.target, outcome.case) for outcome in outcomes] == cases
    assert [outcome for outcome in outcomes if outcome.kind not in ACCEPTABLE] == []
    refused = Counter(outcome.target for outcome in outcomes if outcome.kind == 'refused')
    assert min(refused[name] for name in TARGETS) > CASES // 4


def test_the_harness_notices(tmp_path, monkeypatch):
    (tmp_path / 'broken_loaders.py').write_text(BROKEN)
    monkeypatch.setenv('PYTHONPATH', str(tmp_path), prepend=os.pathsep)
    wanted = dict(
        hang={'hang'},
        crash={'crash'},
        memory={'memory'},
        start={'code started'},
        unpickle={'code started'},
        silence={'message without the file'},
        surprise={'wrong exception'},
        swallow={'silently wrong'},
        right={'refused', 'as the file says'},
    )
    cases = [(name, case) for name in wanted for case in range(1 if name in SLOW else 12)]
    outcomes = list(run_cases(cases, seed=2, folder=tmp_path, table='broken_loaders'))
    assert [(outcome.target, outcome.case) for outcome in outcomes] == cases
    for name, kinds in wanted.items():
        assert {o.kind for o in outcomes if o.target == name} - {'unharmed'} == kinds


def test_a_loader_that_does_not_read_sound_files_is_no_result(tmp_path, monkeypatch):
    (tmp_path / 'broken_loaders.py').write_text(
        BROKEN + '\nfrom dataclasses import replace\n'
        'TARGETS["right"] = replace(TARGETS["right"], oracle=lambda *_: 0)\n'
    )
    monkeypatch.setenv('PYTHONPATH', str(tmp_path), prepend=os.pathsep)
    with pytest.raises(RuntimeError, match='loader and oracle differ on the sound set'):
        list(run_cases([('right', 0)], 0, tmp_path, 'broken_loaders'))


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
