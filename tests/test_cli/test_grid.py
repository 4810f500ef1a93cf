"""Grids, with tools of a few lines each: they take no time and leave the files of the real ones."""

import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from multiprocessing import get_context
from pathlib import Path

import pytest
from mmengine.config import Config

from mmps.cli.grid import (
    Run,
    _latex,
    _summary,
    load_grid,
    make_runs,
    work_through,
    write_report,
)
from mmps.utils.errors import UserError

TOOLS = Path(__file__).parents[2] / 'tools'
HEAD = """
import json, runpy, sys, time
from pathlib import Path
config = runpy.run_path(sys.argv[1])
stub = config['stub']
option = lambda name: Path(sys.argv[sys.argv.index(name) + 1])
def whole(path, write):
    path.parent.mkdir(exist_ok=True)
    write(path.with_suffix('.tmp'))
    path.with_suffix('.tmp').rename(path)
if stub.get('fails') == Path(__file__).stem:
    sys.exit('error: out of luck')
"""
TRAIN = """
work_dir = option('--work-dir')
assert '--resume' in sys.argv
done = len(list(work_dir.glob('epoch_*.pth')))
for epoch in range(done + 1, config['train_cfg']['max_epochs'] + 1):
    time.sleep(stub.get('epoch_seconds', 0))
    whole(work_dir / f'epoch_{epoch}.pth', lambda path: path.touch())
    with open(work_dir / 'history', 'a') as history:
        history.write(f'{epoch} ')
"""
SCRIPT = """
work_dir = Path(next(a for a in sys.argv if a.endswith('train')))
whole(work_dir / 'epoch_3.pth', lambda path: path.touch())
"""
TEST = """
assert any(Path(argument).is_file() for argument in sys.argv if argument.endswith('final.pth'))
whole(option('--out'), lambda path: path.write_text('predictions'))
"""
EVALUATE = """
assert Path(sys.argv[2]).read_text() == 'predictions'
value = stub.get('score', 0.5) + 0.1 * config['randomness']['seed']
whole(option('--out'), lambda path: path.write_text(json.dumps({'search/mAP': value})))
"""
CONFIG = """
train_cfg = dict(max_epochs=3)
test_dataloader = dict(dataset=dict(scale=(480, 270)))
stub = dict()
"""


@pytest.fixture
def stub_tools(tmp_path):
    """A folder of tools like the project's."""
    folder = tmp_path / 'tools'
    (folder / 'analysis_tools').mkdir(parents=True)
    (folder / 'train.py').write_text(HEAD + TRAIN)
    (folder / 'test.py').write_text(HEAD + TEST)
    (folder / 'analysis_tools/eval_search.py').write_text(HEAD + EVALUATE)
    for script in [*TOOLS.glob('*.sh'), TOOLS / 'grid.mk']:
        (folder / script.name).symlink_to(script)
    return folder


@pytest.fixture
def grid_file(tmp_path):
    """Write a grid of configs that do nothing and give its path."""

    def write(text):
        (tmp_path / 'a.py').write_text(CONFIG)
        (tmp_path / 'b.py').write_text(CONFIG)
        path = tmp_path / 'grid.py'
        path.write_text(textwrap.dedent(text))
        return path

    return write


def test_experiments_share_seeds_and_options(grid_file):
    path = grid_file("""
        seeds = [3, 4]
        options = {'stub.score': 0.1}
        _rows = dict(a='A', b='B')
        experiments = [
            *[dict(config=f'{name}.py', row=row, column='PRW') for name, row in _rows.items()],
            dict(name='c', config='a.py', seeds=[0], options={'stub.score': 0.2}),
        ]
        """)
    a, b, c = load_grid(path).experiments
    assert (a.name, a.config, a.row, a.column) == ('a', f'{path.parent}/a.py', 'A', 'PRW')
    assert b.seeds == (3, 4)
    assert (c.name, c.config, c.seeds) == ('c', f'{path.parent}/a.py', (0,))
    runs = make_runs(load_grid(path), path.parent, {'stub.fails': 'test'})
    assert [run.config.stub.score for run in runs] == [0.1] * 4 + [0.2]
    assert [run.folder.name for run in runs] == [
        'a_seed3', 'a_seed4', 'b_seed3', 'b_seed4', 'c_seed0'
    ]  # fmt: skip
    assert [run.config.randomness.seed for run in runs] == [3, 4, 3, 4, 0]
    assert all(run.config.stub.fails == 'test' for run in runs)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('seeds = [0]', 'grid .*grid.py: .*missing required field `experiments`'),
        ('experiments = []', r'length >= 1 - at .*experiments'),
        ("experiments = [dict(name='a')]", r'required field `config` - at .*experiments\[0\]'),
        ("experiments = [dict(config='a.py', seed=0)]", r'unknown field `seed` - at .*\[0\]'),
        ("experiments = [dict(config='a.py')]\nexperimnets = []", 'unknown field `experimnets`'),
        ("experiments = [dict(config='a.py'), dict(config='a.py')]", 'two experiments are named a'),
        ("experiments = [dict(config='a.py', name='a b')]", r'`str` matching .*\[0\].name'),
        ("experiments = [dict(config='a.py', seeds=[1, 1])]", r'seeds of a is \(1, 1\)'),
        ("experiments = [dict(config='a.py')]\nseeds = []", r'length >= 1 - at .*seeds'),
        ("experiments = [dict(config='a.py', seeds=[0.5])]", r'`int`, got `float` - at .*seeds'),
        ("experiments = [dict(config='a.py')]\nbase = 'c'", "base is 'c', which is no experiment"),
        (
            "experiments = [dict(config='a.py')]\ntables = [dict(title='T', metric='m')]",
            r'missing required field `columns` - at .*tables\[0\]',
        ),
        (
            "experiments = [dict(config='a.py')]\n"
            "tables = [dict(title='T', metric='m', columns=['x'], rows=dict(r=[1, 2]))]",
            "row r of 'T' has 2 numbers, not 1",
        ),
    ],
)
def test_what_is_wrong_is_named(grid_file, text, message):
    with pytest.raises(UserError, match=message):
        load_grid(grid_file(text))


SEEDS = "experiments = [dict(config='a.py', seeds=[0, 7], options=dict(stub=dict(score=0.3)))]"


@pytest.fixture
def runs(grid_file, tmp_path):
    return make_runs(load_grid(grid_file(SEEDS)), tmp_path / 'out', {'stub.fails': 'test'})


def test_the_seed_stands_in_the_options(grid_file, tmp_path):
    """A run may start from what the run before it with the same seed ended with."""
    path = grid_file("""
        options = {'stub.files': ['{seed}.npz']}
        experiments = [dict(config='a.py', seeds=[1, 2], options=dict(stub=dict(w='b_seed{seed}')))]
        """)
    runs = make_runs(load_grid(path), tmp_path / 'out', {})
    assert [run.config.stub.w for run in runs] == ['b_seed1', 'b_seed2']
    assert [run.config.stub.files for run in runs] == [['1.npz'], ['2.npz']]


def test_next_step_follows_from_the_files(runs):
    run = runs[0]
    assert run.next_step() == 'train'
    (run.folder / 'train').mkdir(parents=True)
    (run.folder / 'final.pth').symlink_to('train/epoch_3.pth')
    assert run.next_step() == 'train'
    (run.folder / 'train/epoch_3.pth').write_bytes(b'')
    assert run.next_step() == 'test'
    (run.folder / 'predictions.npz').write_bytes(b'')
    assert run.next_step() == 'evaluate'
    assert run.metrics() == {}
    (run.folder / 'metrics.json').write_text('{"search/mAP": 0.5}')
    assert run.next_step() is None
    assert run.metrics() == {'search/mAP': 0.5}


def test_the_same_settings_are_accepted_and_others_named(runs, grid_file, tmp_path):
    grid = load_grid(grid_file(SEEDS))
    options = {'stub.fails': 'train', 'train_cfg.val_interval': 2}
    for run in runs:
        run.write_config()
        run.check_config()
    make_runs(grid, tmp_path / 'out', options)  # nothing was begun
    for run in runs:
        (run.folder / 'train.log').write_text('')
        run.check_config()
    with pytest.raises(UserError) as caught:
        make_runs(grid, tmp_path / 'out', options)
    message = str(caught.value)
    assert f'{tmp_path}/out/a_seed0 was begun with other settings' in message
    assert "stub.fails was 'test', is 'train'" in message
    assert "train_cfg.val_interval was 'absent', is 2" in message
    for run in runs:
        (run.folder / 'config.py').unlink()
    make_runs(grid, tmp_path / 'out', options)


def test_a_config_for_the_tools_is_the_config(tmp_path):
    config = Config.fromfile(TOOLS.parent / 'configs/ps_densenet121_att_prw.py')
    Run('a', tmp_path, config).write_config()
    assert Config.fromfile(tmp_path / 'config.py').to_dict() == config.to_dict()


def test_a_training_is_where_its_log_says(runs):
    run = runs[0]
    run.folder.mkdir(parents=True)
    assert run.state() == 'train'
    log = run.folder / 'train.log'
    log.write_text(LINES)
    assert run.state() == 'train Epoch(train) [1][ 20/ 40]  lr: 1.0e-03  eta: 1 day, 0:02:20'
    log.write_text(LINES + '$ python tools/train.py a.py --resume\nresuming\n')
    assert run.state() == 'train'
    (run.folder / 'metrics.json').write_text('{}')
    assert run.state() == 'complete'


LINES = """$ python tools/train.py a.py --resume
11/23 10:00:00 - mmengine - INFO - Epoch(train) [1][10/40]  lr: 1.0e-03  eta: 0:02:30  x: 1
11/23 10:00:10 - mmengine - INFO - Epoch(train) [1][ 20/ 40]  lr: 1.0e-03  eta: 1 day, 0:02:20  x: 1
"""


def test_configs_that_cannot_be_made(grid_file, tmp_path):
    grid = load_grid(grid_file("experiments = [dict(config='a.py')]"))
    with pytest.raises(UserError, match=r'do not fit config .*a.py \(experiment a\)'):
        make_runs(grid, tmp_path / 'out', {'train_cfg.max_epochs.unit': 3})
    grid = load_grid(grid_file("experiments = [dict(config='none.py')]"))
    with pytest.raises(UserError, match='none.py does not exist'):
        make_runs(grid, tmp_path / 'out', {})


TWO = """
seeds = [1]
experiments = [dict(config='a.py'), dict(config='b.py', options=dict(stub=dict(score=0.3)))]
"""


@pytest.fixture
def make(grid_file, tmp_path):
    def runs(text, **options):
        return make_runs(load_grid(grid_file(text)), tmp_path / 'out', options)

    return runs


def history(run):
    return (run.folder / 'train/history').read_text().split()


def is_free(run):
    return subprocess.run(['flock', '-n', run.folder / 'lock', 'true']).returncode == 0


def wait_for(condition):
    limit = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


def silent(line):
    pass


def start(runs, tools):
    """Work through runs in another process."""
    options = dict(target=work_through, args=(runs, tools), kwargs=dict(say=silent))
    process = get_context('fork').Process(**options)
    process.start()
    return process


def test_all_runs_end_with_metrics(make, stub_tools):
    runs, said, reports = make(TWO), [], []
    failures = work_through(
        runs, stub_tools, say=said.append, after_run=lambda: reports.append(len(said))
    )
    assert failures == []
    assert [run.metrics()['search/mAP'] for run in runs] == pytest.approx([0.6, 0.4])
    a, b = (run.folder for run in runs)
    assert said == [
        '0 of 2 runs are complete already',
        f'[0/2] a_seed1: train, log in {a}/train.log',
        f'[0/2] a_seed1: test, log in {a}/test.log',
        f'[0/2] a_seed1: evaluate, log in {a}/evaluate.log',
        '[1/2] a_seed1: complete',
        f'[1/2] b_seed1: train, log in {b}/train.log',
        f'[1/2] b_seed1: test, log in {b}/test.log',
        f'[1/2] b_seed1: evaluate, log in {b}/evaluate.log',
        '[2/2] b_seed1: complete',
    ]
    assert reports == [5, 9]
    logs = [(run.folder / 'evaluate.log').read_bytes() for run in runs]
    again = []
    assert work_through(runs, stub_tools, say=again.append) == []
    assert [(run.folder / 'evaluate.log').read_bytes() for run in runs] == logs
    assert again == ['2 of 2 runs are complete already']


@pytest.mark.parametrize(
    ('options', 'train', 'test'),
    [
        (
            {},
            'python tools/train.py run/config.py --work-dir run/train',
            'python tools/test.py run/config.py run/final.pth',
        ),
        (
            dict(gpus=8),
            'tools/dist_train.sh run/config.py 8 --work-dir run/train',
            'tools/dist_test.sh run/config.py run/final.pth 8',
        ),
        (
            dict(partition='p'),
            'tools/slurm_train.sh p a_seed0 run/config.py run/train',
            'tools/slurm_test.sh p a_seed0 run/config.py run/final.pth',
        ),
    ],
)
def test_commands(make, stub_tools, options, train, test):
    (run,) = make("experiments = [dict(config='a.py')]")
    # Whatever is started ends well and leaves what comes of it.
    for tool in ('train', 'test'):
        for script in stub_tools.glob(f'*_{tool}.sh'):
            text = HEAD.replace('sys.argv[1]', "next(a for a in sys.argv if a.endswith('.py'))")
            text += {'train': SCRIPT, 'test': TEST}[tool]
            script.unlink()
            script.write_text(f'#!{sys.executable}\n{text}')
            script.chmod(0o755)
    assert work_through([run], stub_tools, say=silent, **options) == []
    lines = []
    for step in ('train', 'test', 'evaluate'):
        line = (run.folder / f'{step}.log').read_text().splitlines()[0]
        for long, name in (stub_tools, 'tools'), (run.folder, 'run'), (sys.executable, 'python'):
            line = line.replace(str(long), name)
        lines.append(line)
    assert lines == [
        f'$ {train} --resume',
        f'$ {test} --work-dir run/test --out run/predictions.npz',
        '$ python tools/analysis_tools/eval_search.py run/config.py run/predictions.npz '
        '--out run/metrics.json',
    ]


@pytest.mark.parametrize('step', ['train', 'test'])
def test_failure_does_not_stop_the_others(make, stub_tools, step):
    text = f"""
    experiments = [
        dict(config='a.py', options=dict(stub=dict(fails={step!r}))),
        dict(config='b.py'),
    ]
    """
    a, b = make(text)
    said = []
    (failure,) = work_through([a, b], stub_tools, say=said.append)
    assert failure == (
        f'a_seed0: {step}: exit status 1: error: out of luck (log: {a.folder}/{step}.log)'
    )
    assert '[1/2] a_seed0: FAILED' in said
    assert b.metrics()
    assert is_free(a)


def test_command_without_result_is_a_failure(make, stub_tools):
    (stub_tools / 'test.py').write_text('')
    (run,) = make("experiments = [dict(config='a.py')]")
    (failure,) = work_through([run], stub_tools, say=silent)
    assert failure.startswith('a_seed0: test: exit status 0, without its result (log: ')


@pytest.mark.parametrize('killed', ['alone', 'with the training'])
def test_killed_and_started_again(make, stub_tools, killed):
    runs = make(TWO, **{'stub.epoch_seconds': 0.15})
    process = start(runs, stub_tools)
    wait_for((runs[0].folder / 'train/epoch_1.pth').exists)
    process.kill()
    process.join()
    if killed == 'with the training':
        os.killpg(int((runs[0].folder / 'lock').read_text()), signal.SIGKILL)
        wait_for(lambda: is_free(runs[0]))
    else:
        assert not is_free(runs[0])
    said = []
    assert work_through(runs, stub_tools, say=said.append) == []
    # What the killed process had started goes on, and nobody else does the same beside it.
    busy = [line for line in said if 'a_seed1: somebody else works on it' in line]
    assert len(busy) == (killed == 'alone')
    assert all(run.metrics() for run in runs)
    assert all(history(run) == ['1', '2', '3'] for run in runs)


def test_two_at_the_same_grid_share_the_runs(make, stub_tools):
    runs = make(TWO, **{'stub.epoch_seconds': 0.05})
    processes = [start(runs, stub_tools) for _ in range(2)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert all(history(run) == ['1', '2', '3'] for run in runs)
    assert all((run.folder / 'test.log').read_text().count('$ ') == 1 for run in runs)


def test_stopping_takes_the_command_along(make, stub_tools):
    (run,) = make("experiments = [dict(config='a.py')]", **{'stub.epoch_seconds': 60})

    def stop(line):
        if 'train' in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work_through([run], stub_tools, say=stop)
    wait_for(lambda: is_free(run))


def test_jobs_run_at_once(make, stub_tools, tmp_path, monkeypatch):
    """A fake ``srun`` trains when both jobs were submitted."""
    jobs = tmp_path / 'jobs'
    srun = tmp_path / 'bin/srun'
    srun.parent.mkdir()
    srun.write_text(f"""#!/usr/bin/env bash
case "$*" in *train.py*)
    echo "$*" >> {jobs}
    while (( $(wc -l < {jobs}) < 2 )); do sleep 0.01; done
esac
while [[ $1 == -* ]]; do shift; done
exec "$@"
""")
    srun.chmod(0o755)
    monkeypatch.setenv('PATH', f'{srun.parent}:{os.environ["PATH"]}')
    monkeypatch.setenv('GPUS', '2')
    runs = make(TWO)
    assert work_through(runs, stub_tools, jobs=2, partition='gpu', say=silent) == []
    assert all(run.metrics() for run in runs)
    job = sorted(jobs.read_text().splitlines())[0]
    assert job.startswith('--partition=gpu --job-name=a_seed1 ')
    assert '--ntasks=2' in job
    folder = runs[0].folder
    assert f'train.py {folder}/config.py --work-dir {folder}/train' in job
    assert job.endswith('--launcher slurm --resume')


def test_names_with_blanks_and_quotes(make, stub_tools, tmp_path):
    (run,) = make("experiments = [dict(config='a.py')]")
    run = Run(run.experiment, tmp_path / "it's a $folder" / run.name, run.config)
    assert work_through([run], stub_tools.rename(tmp_path / "the tool's"), say=silent) == []
    assert run.metrics()


REPORTED = """
seeds = [0, 1]
metrics = ['search/mAP']
base = 'a'
tables = [
    dict(
        title='Published',
        metric='search/mAP',
        columns=['PRW', 'CUHK03'],
        rows=dict(A=[0.3, 0.6], B=[0.4, 0.7], C=[0.5, 0.8]),
    )
]
experiments = [
    dict(config='a.py', row='A', column='PRW'),
    dict(config='b.py', row='B', column='PRW'),
    dict(name='c', config='b.py', row='A', column='own'),
    dict(name='d', config='b.py'),
]
"""


def test_mean_and_spread_of_runs_and_of_differences():
    """The spread is the sample standard deviation."""
    assert _summary([0.1, 0.2, 0.6]) == pytest.approx(
        {'mean': 0.3, 'spread': math.sqrt((0.04 + 0.01 + 0.09) / 2)}
    )
    assert _summary([0.1]) == {'mean': 0.1, 'spread': None}
    assert _summary([0.5, 0.7], [0.1, 0.3]) == pytest.approx({'mean': 0.4, 'spread': 0.2})
    assert _summary([0.5], [0.1, 0.3])['spread'] is None


@pytest.fixture
def reported(grid_file, tmp_path):
    grid = load_grid(grid_file(REPORTED))
    runs = make_runs(grid, tmp_path / 'out', {})
    values = {'a_seed0': 0.31, 'a_seed1': 0.33, 'd_seed0': 0.4, 'd_seed1': 0.44, 'c_seed1': 0.2}
    for run in runs:
        run.folder.mkdir(parents=True)
        if run.name in values:
            (run.folder / 'metrics.json').write_text(json.dumps({'search/mAP': values[run.name]}))
    text = write_report(grid, runs, tmp_path / 'out')
    assert (tmp_path / 'out/tables.md').read_text() == text
    return text, json.loads((tmp_path / 'out/tables.json').read_text())


def test_markdown(reported):
    text, _ = reported
    assert (
        text
        == """\
## Published

|  | PRW, paper | PRW, ours | CUHK03, paper | own, ours |
| --- | --- | --- | --- | --- |
| A | 0.300 | 0.320 ± 0.014 | 0.600 | 0.200 |
| B | 0.400 | not run | 0.700 | not run |
| C | 0.500 | not run | 0.800 | not run |

## All experiments: 5 of 8 runs complete

| experiment | seeds | search/mAP |
| --- | --- | --- |
| a | 2/2 | 0.320 ± 0.014 |
| b | 0/2 | not run |
| c | 1/2 | 0.200 |
| d | 2/2 | 0.420 ± 0.028 |

## Difference to a

| experiment | search/mAP |
| --- | --- |
| b | not run |
| c | -0.120 |
| d | +0.100 ± 0.032 |

After "±": standard deviation, over the seeds, of one run minus one run of the base.
"""
    )


def test_latex(reported, tmp_path):
    """What LaTeX reads of it is looked at by hand; its special characters are all escaped."""
    text = (tmp_path / 'out/tables.tex').read_text()
    assert text.startswith(
        r"""\begin{table}
\centering
\caption{Published}
\begin{tabular}{lrrrr}
\toprule
 & PRW, paper & PRW, ours & CUHK03, paper & own, ours \\
\midrule
A & 0.300 & 0.320 $\pm$ 0.014 & 0.600 & 0.200 \\
"""
    )
    assert text.count(r'\begin{tabular}') == text.count(r'\end{tabular}') == 3
    special = _latex('a_b', {'50 %': ['c & d'], '{x}': ['^']}, 'a note')
    assert r'\caption{a\_b a note}' in special
    assert r'50 \% & \{x\} \\' in special
    assert r'c \& d & \textasciicircum ' in special


THEIRS = """
experiments = [
    dict(config='a.py'),
    dict(name='theirs', config='a.py', predictions=['one.npz', 'two.npz']),
]
"""


def test_predictions_of_another_program_are_a_row(make, stub_tools, tmp_path):
    with pytest.raises(UserError, match=r'experiment theirs: predictions .*/one.npz do not exist'):
        make(THEIRS)
    for name in ('one.npz', 'two.npz'):
        (tmp_path / name).write_text('predictions')
    runs = make(THEIRS)
    assert [run.name for run in runs] == ['a_seed0', 'theirs_seed0', 'theirs_seed1']
    assert [run.next_step() for run in runs] == ['train', 'evaluate', 'evaluate']
    assert work_through(runs[1:], stub_tools, say=silent) == []
    assert [run.next_step() for run in runs[1:]] == [None, None]
    assert runs[2].folder.joinpath('predictions.npz').resolve() == tmp_path / 'two.npz'
    assert [log.name for log in runs[1].folder.glob('*.log')] == ['evaluate.log']
    os.utime(tmp_path / 'one.npz', (2e9, 2e9))  # they were made again
    assert [run.next_step() for run in make(THEIRS)] == ['train', 'evaluate', None]


def test_json(reported):
    _, found = reported
    assert found['runs']['a_seed1'] == {'search/mAP': 0.33}
    assert found['runs']['b_seed0'] is None
    assert found['experiments']['a']['metrics']['search/mAP']['values'] == [0.31, 0.33]
    assert found['experiments']['c']['metrics']['search/mAP']['spread'] is None
    assert found['experiments']['b'] == {'seeds': [0, 1], 'metrics': {}}
    published = found['tables'][0]
    assert published['title'] == 'Published'
    assert published['columns']['PRW, ours'] == ['0.320 ± 0.014', 'not run', 'not run']
    minus = found['experiments']['d']['metrics']['search/mAP']['minus_base']
    assert minus == {
        'mean': pytest.approx(0.1),
        'spread': pytest.approx(math.hypot(0.02, 0.04) / math.sqrt(2)),
    }
    assert 'minus_base' not in found['experiments']['a']['metrics']['search/mAP']
