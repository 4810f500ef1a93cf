"""Examples in docstrings run, and every public class has one."""

import doctest
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import mmps

FOLDER = Path(mmps.__file__).parent
FILES = sorted(path for path in FOLDER.rglob('*.py') if '>>>' in path.read_text())
CONFIGURED = ('mmps.models', 'mmps.datasets', 'mmps.evaluation.metrics')
"""Whatever their modules have may be named in configs."""
WITHOUT = {'TIMMBackbone'}
"""Needs a package that is not installed here."""


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_examples(path, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    name = '.'.join(path.relative_to(FOLDER.parent).with_suffix('').parts)
    module = importlib.import_module(name)
    assert doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0
    assert not list(tmp_path.iterdir())


def public_classes():
    """What packages export, and what configs may name."""
    for found in pkgutil.walk_packages(mmps.__path__, 'mmps.'):
        if found.ispkg or found.name.startswith(CONFIGURED):
            module = importlib.import_module(found.name)
            names = getattr(module, '__all__', [n for n in vars(module) if n[0] != '_'])
            classes = filter(inspect.isclass, (getattr(module, name) for name in names))
            yield from (c for c in classes if c.__module__.startswith(found.name))


def test_every_public_class_has_one():
    demanded = {c for c in public_classes() if not issubclass(c, Exception)}
    assert len(demanded) > 100
    without = {c.__name__ for c in demanded if '>>>' not in (c.__doc__ or '')}
    assert without == WITHOUT
