"""The command mmps: in this process, and as a wheel that is unpacked into an empty folder."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mmps.cli import main
from mmps.cli.search import model_parser

ROOT = Path(__file__).parents[2]


def test_every_script_is_a_subcommand_once():
    scripts = {path.resolve() for path in (ROOT / 'tools').rglob('*.py')}
    named = main.scripts()
    assert set(named.values()) == scripts
    assert len(named) == len(scripts)
    assert named['train'] == ROOT / 'tools/train.py'
    assert named['print-config'] == ROOT / 'tools/misc/print_config.py'


def test_the_overview_says_what_each_does(capsys):
    main.main([])
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[:2] == ['train', 'Train'] for line in lines)
    assert all(len(line.split()) > 2 for line in lines if line.startswith('  '))


def test_a_mistyped_command(capsys):
    with pytest.raises(SystemExit) as stopped:
        main.main(['trian', 'x.py'])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "error: there is no command 'trian'; did you mean train?\n"


def test_options_and_errors_are_those_of_the_script(capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['mmps'])
    with pytest.raises(SystemExit) as stopped:
        main.main(['print-config', 'no_such_config.py'])
    assert stopped.value.code == 2
    assert 'error: config no_such_config.py does not exist' in capsys.readouterr().err


def test_messages_call_a_script_as_it_can_be_called_there(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main.call_of('index_gallery.py') == 'python tools/index_gallery.py'
    monkeypatch.chdir(tmp_path)
    assert main.call_of('index_gallery.py') == 'mmps index'
    assert main.call_of('misc/make_synthetic_dataset.py') == 'mmps make-synthetic-dataset'


@pytest.fixture(scope='module')
def unpacked_wheel(tmp_path_factory):
    """Where a wheel of this checkout, built without a network, was unpacked."""
    folder = tmp_path_factory.mktemp('wheel')
    command = [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation', '-q']
    # Built from a copy, for setuptools writes into the folder it builds.
    copy = folder / 'source'
    copy.mkdir()
    for name in ('mmps', 'configs', 'tools', 'setup.py', 'pyproject.toml'):
        (copy / name).symlink_to(ROOT / name)
    subprocess.run([*command, '-w', folder, copy], check=True, cwd=folder)
    (wheel,) = folder.glob('*.whl')
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / 'site')
    return folder / 'site'


def test_a_wheel_holds_configs_tools_and_the_command(unpacked_wheel, tmp_path):
    entry_points = next(unpacked_wheel.glob('*.dist-info/entry_points.txt')).read_text()
    assert 'mmps = mmps.cli.main:main' in entry_points
    inside = unpacked_wheel / 'mmps/project'
    assert sum(1 for _ in inside.rglob('*.py')) > 60
    assert not list(inside.rglob('__pycache__'))
    assert (unpacked_wheel / 'mmps/published/quick_start.pth').is_file()
    # in an empty folder, by the config's name alone
    program = """from mmps.cli.main import main
for config in ('ps_resnet50_prw', 'configs/ps_resnet50_prw.py'):
    main(['print-config', config])
"""
    done = subprocess.run(
        [sys.executable, '-c', program],
        env=os.environ | {'PYTHONPATH': str(unpacked_wheel)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("data_root='data/PRW'") == 2 * 3  # train, val, test


@pytest.mark.parametrize(
    ('words', 'config', 'checkpoint', 'rest'),
    [
        (['epoch_1.pth', 'scenes/'], 'epoch_1.pth', 'epoch_1.pth', ['scenes/']),
        (['a.py', 'epoch_1.pth', 'scenes/'], 'a.py', 'epoch_1.pth', ['scenes/']),
        (['ps_resnet50_prw', 'e.pth', 'x.jpg'], 'ps_resnet50_prw', 'e.pth', ['x.jpg']),
        (['omz-0013-0286', 'door.mp4'], 'omz-0013-0286', None, ['door.mp4']),
    ],
)
def test_what_names_a_model(words, config, checkpoint, rest):
    parser = model_parser('test', words)
    parser.add_argument('sources', nargs='+')
    found = parser.parse_args(words)
    assert (found.config, found.checkpoint, found.sources) == (config, checkpoint, rest)


def test_a_file_that_an_option_names_is_no_model(tmp_path):
    out = tmp_path / 'hits.json'
    out.write_text('{}')  # of an earlier search
    words = ['--out', str(out), 'epoch_1.pth', 'me.jpg']
    parser = model_parser('test', words)
    parser.add_argument('--out')
    parser.add_argument('query')
    found = parser.parse_args(words)
    assert (found.checkpoint, found.query) == ('epoch_1.pth', 'me.jpg')
