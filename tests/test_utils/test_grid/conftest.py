"""A grid whose tools are a few lines each: they take no time and leave the files of the real."""

import textwrap
from pathlib import Path

import pytest

from mmps.utils.grid import Launcher, scheduler

TOOLS = Path(__file__).parents[3] / 'tools'
HEAD = """
import json, runpy, sys, time, zipfile
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
    whole(work_dir / f'epoch_{epoch}.pth', lambda path: zipfile.ZipFile(path, 'w').close())
    with open(work_dir / 'history', 'a') as history:
        history.write(f'{epoch} ')
"""
TEST = """
assert zipfile.is_zipfile(sys.argv[2])
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
    for script in TOOLS.glob('*.sh'):
        (folder / script.name).symlink_to(script)
    return folder


@pytest.fixture
def launcher(stub_tools):
    return Launcher(stub_tools)


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


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(scheduler, 'POLL_SECONDS', 0.01)
