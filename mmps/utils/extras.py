"""Packages that only some parts of mmps need."""

from __future__ import annotations

import importlib
from types import ModuleType

from mmps.utils.cli import UserError


def require_extra(module: str, extra: str) -> ModuleType:
    """Import a module of an optional dependency.

    Raises:
        UserError: It is not installed; the message names the extra to install.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition('.')[0]:
            raise  # it is there, but broken
        raise UserError(f"{module} is not installed: pip install 'mmps[{extra}]'") from None
