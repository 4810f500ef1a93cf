"""Errors that a user can mend; tools print them in one line."""

import difflib
import importlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType


class UserError(Exception):
    """What the user asked for cannot be done; the message names the cause and the way out."""


class DataError(UserError, ValueError):
    """Files of a data set contradict their layout, themselves or the config."""


@contextmanager
def data_errors() -> Iterator[None]:
    """Make a ``DataError`` of a ``ValueError``, as readers of a data set's files raise it."""
    try:
        yield
    except ValueError as error:
        if isinstance(error, UserError):
            raise
        raise DataError(str(error)) from error


def did_you_mean(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """The end of a message about a name that there is not: those like it, if there are any.

    Example:
        >>> did_you_mean('is_querry', ['camera', 'is_query'])
        '; did you mean is_query?'
    """
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=cutoff)
    return f'; did you mean {", ".join(close)}?' if close else ''


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
