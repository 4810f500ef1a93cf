import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from mmps.utils.errors import UserError

SCRIPT = Path(__file__).parents[2] / 'tools' / 'misc' / 'make_synthetic_dataset.py'
SIZES = {
    '--images': '4',
    '--identities': '2',
    '--test-images': '6',
    '--test-identities': '2',
    '--queries': '3',
    '--size': '160x90',
    '--seed': '5',
    '--workers': '1',
}
SMALL = [word for option in SIZES.items() for word in option]


@pytest.fixture(scope='module')
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location('make_synthetic_dataset', SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_defaults_are_the_quick_starts(script: ModuleType) -> None:
    args = script.parse_args(['--out', 'x'])
    assert (args.images, args.identities, args.size) == (1205, 300, (480, 270))
    assert (args.test_images, args.test_identities, args.queries) == (130, 80, 400)
    assert args.workers >= 1


def test_writes_a_set_and_refuses_another_over_it(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, 'argv', ['x', '--out', str(tmp_path / 'set'), *SMALL])
    script.main()
    assert len(list((tmp_path / 'set' / 'frames').glob('*.jpg'))) == 10
    assert len((tmp_path / 'set' / 'query_info.txt').read_text().splitlines()) == 3
    monkeypatch.setattr(sys, 'argv', [*sys.argv, '--seed', '6'])
    with pytest.raises(SystemExit) as error:
        script.main()
    assert 'seed 5 there, 6 asked' in str(error.value.code)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [(['--size', '480'], "'480' is not WIDTHxHEIGHT"), (['--layout', 'voc'], "'voc'")],
)
def test_bad_arguments_are_explained(
    script: ModuleType, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as error:
        script.parse_args(['--out', 'x', *arguments])
    assert error.value.code == 2
    assert message in capsys.readouterr().err


def test_impossible_size_names_the_fix(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, 'argv', ['x', '--out', str(tmp_path / 'set'), '--identities', '9000'])
    with pytest.raises(SystemExit) as error:
        script.main()
    assert 'give more images' in str(error.value.code)
    assert not (tmp_path / 'set').exists()


def test_photographs_stand_behind_the_people_and_are_named_in_the_set(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photographs = tmp_path / 'photographs' / 'yard'
    photographs.mkdir(parents=True)
    (photographs / '._a.png').write_bytes(b'what a Mac leaves')
    for name, colour in (('a.png', (255, 0, 0)), ('b.JPG', (230, 0, 0))):
        cv2.imwrite(str(photographs / name), np.full((30, 20, 3), colour, np.uint8))
    words = ['x', '--out', str(tmp_path / 'set'), *SMALL, '--backdrops', str(photographs.parent)]
    monkeypatch.setattr(sys, 'argv', words)
    script.main()
    used = json.loads((tmp_path / 'set' / 'synthetic.json').read_text())['parameters']['backdrops']
    assert used.startswith('2 photographs, SHA-256 ')
    for path in (tmp_path / 'set' / 'frames').iterdir():
        blue, green, _ = cv2.imread(str(path))[:18].reshape(-1, 3).mean(0)
        assert blue > 4 * green
    (photographs / 'b.JPG').unlink()
    with pytest.raises(SystemExit) as error:
        script.main()
    assert 'backdrops' in str(error.value.code)


@pytest.mark.parametrize(
    ('content', 'message'),
    [(None, 'no photographs there'), (b'\xff\xd8\xff', r'a\.jpg: no readable')],
)
def test_no_or_broken_photographs_are_named_before_anything_is_written(
    content: bytes | None,
    message: str,
    script: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if content:
        (tmp_path / 'a.jpg').write_bytes(content)
    words = ['x', '--out', str(tmp_path / 'set'), *SMALL, '--backdrops', str(tmp_path)]
    monkeypatch.setattr(sys, 'argv', words)
    with pytest.raises(UserError, match=message):
        script.main()
    assert not (tmp_path / 'set').exists()
