"""Config files as users give them, read with errors that name the file and the key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmps.utils.errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config


def load_config(path: str, options: dict[str, Any]) -> Config:
    """Read a config file and apply ``--cfg-options``.

    Raises:
        UserError: The file is missing, is not a valid config, or an option does not fit into it.
    """
    from mmengine.config import Config

    if not Path(path).is_file():
        raise UserError(f'config {path} does not exist{_similar_configs(path)}')
    try:
        config = Config.fromfile(path)
    except Exception as error:  # a config is a program of the user's, and may raise anything
        raise UserError(f'config {path} cannot be read: {type(error).__name__}: {error}') from error
    set_options(config, path, options)
    return config


def set_options(config: Config, path: str, options: dict[str, Any]) -> None:
    """Apply ``--cfg-options`` to a config that was read from ``path``.

    Raises:
        UserError: An option does not fit into it.
    """
    try:
        config.merge_from_dict(options)
    except (KeyError, TypeError, IndexError, AssertionError) as error:
        raise UserError(f'--cfg-options do not fit config {path}: {error}') from error


def _similar_configs(path: str) -> str:
    """A hint for a mistyped name, from the files beside it."""
    import difflib

    folder = Path(path).parent
    names = [file.name for file in folder.glob('*.py')] if folder.is_dir() else []
    close = difflib.get_close_matches(Path(path).name, names, n=3, cutoff=0.5)
    return (
        '; did you mean ' + ', '.join(str(folder / name) for name in close) + '?' if close else ''
    )


def require_entries(config: Config, path: str, keys: Sequence[str]) -> None:
    """Raise `UserError` unless the config has a value for each of ``keys``."""
    missing = [key for key in keys if config.get(key) is None]
    if missing:
        raise UserError(f'config {path} has no {", ".join(missing)}')
