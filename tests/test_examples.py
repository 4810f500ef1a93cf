"""Examples in docstrings run, and every public class has one."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

PACKAGES = ('mmps.models', 'mmps.datasets')
WITHOUT = {'TIMMBackbone'}
"""Needs a package that is not installed here."""


def modules():
    for package in map(importlib.import_module, PACKAGES):
        for module in pkgutil.walk_packages(package.__path__, f'{package.__name__}.'):
            if not module.ispkg:
                yield module.name


@pytest.mark.parametrize('name', list(modules()))
def test_examples(name):
    module = importlib.import_module(name)
    assert doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0
    classes = inspect.getmembers(module, inspect.isclass)
    own = {n for n, c in classes if c.__module__ == name and not issubclass(c, Exception)}
    public = {n for n in own - WITHOUT if not n.startswith('_')}
    assert not [n for n in public if '>>>' not in (getattr(module, n).__doc__ or '')]
