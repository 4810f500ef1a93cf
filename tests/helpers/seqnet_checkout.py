"""The evaluation of SeqNet, from a checkout of it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple


class Reference(NamedTuple):
    """The modules of a checkout that are run."""

    eval_func: ModuleType
    prw: ModuleType
    cuhk_sysu: ModuleType


def load_reference(checkout: Path) -> Reference:
    """Import the reference's evaluation and data sets.

    Its packages import its whole training code, so they are entered without their ``__init__``, and
    ``utils.utils``, from which only two functions for output are taken, is replaced.

    Raises:
        FileNotFoundError: ``checkout`` is something else.
    """
    for name in ('eval_func.py', 'datasets/prw.py', 'datasets/cuhk_sysu.py'):
        if not (checkout / name).is_file():
            raise FileNotFoundError(f'{checkout / name}: missing; give a checkout of SeqNet')
    output = ModuleType('utils.utils')
    output.write_json = output.create_small_table = lambda *args: ''
    stand_ins = {'utils.utils': output}
    for name in ('utils', 'datasets'):
        stand_ins[name] = ModuleType(name)
        stand_ins[name].__path__ = [str(checkout / name)]
    path, others = list(sys.path), _remove_modules()
    try:
        sys.modules.update(stand_ins)
        sys.path.insert(0, str(checkout))
        names = ('eval_func', 'datasets.prw', 'datasets.cuhk_sysu')
        return Reference(*(importlib.import_module(name) for name in names))
    finally:
        sys.path[:] = path
        _remove_modules()
        sys.modules.update(others)


def _remove_modules() -> dict[str, ModuleType]:
    """Takes modules with the reference's names, which others use as well, out of the imported."""
    names = [n for n in sys.modules if n.split('.')[0] in ('eval_func', 'utils', 'datasets')]
    return {name: sys.modules.pop(name) for name in names}
