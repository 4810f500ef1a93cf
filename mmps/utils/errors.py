"""Errors that a user can mend; tools print them in one line."""

from __future__ import annotations

import importlib
from types import ModuleType


class UserError(Exception):
    """What the user asked for cannot be done; the message names the cause and the way out."""


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
