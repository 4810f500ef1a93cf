"""Config files as users give them, read with errors that name the file and the key."""

from __future__ import annotations

import ast
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmps.utils.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from mmengine.config import Config


_PACKAGE = Path(__file__).parents[1]
_INSTALLED = _PACKAGE / 'project'
PROJECT = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent
"""Where ``configs`` and ``tools`` are: inside an installed package, or beside it in a checkout."""

CHECKPOINTS = ('.pth', '.pt')


def is_checkpoint(path: object) -> bool:
    """Whether a path is that of a checkpoint, by its suffix."""
    return isinstance(path, (str, os.PathLike)) and os.fspath(path).endswith(CHECKPOINTS)


def load_config(path: str, options: dict[str, Any]) -> Config:
    """Read a config and apply ``--cfg-options``.

    Args:
        path: A file. What is not there is looked for among the configs that come with mmps, where a
            name without folder and suffix is enough. Or a checkpoint, which holds the config it was
            trained with.
        options: Keys, with dots, and their values.

    Raises:
        UserError: The file is missing, is not a valid config, or an option does not fit into it.
    """
    from mmengine.config import Config

    path = os.fspath(path)
    if is_checkpoint(path):
        config = config_of_checkpoint(path)
    elif (file := find_config(path)) is None:
        near = did_you_mean(path, map(str, Path(path).parent.glob('*.py')))
        raise UserError(f'config {path} does not exist{near}')
    else:
        try:
            config = Config.fromfile(file)
        except Exception as error:  # a config is a program of the user's, and may raise anything
            reason = f'{type(error).__name__}: {error}'
            raise UserError(f'config {path} cannot be read: {reason}') from error
    set_options(config, path, options)
    return config


def find_config(path: str) -> str | None:
    """The file that a path or a name of a config stands for; None: there is none."""
    if Path(path).is_file():
        return path
    folder, parts = PROJECT / 'configs', Path(path).parts
    inside = folder.joinpath(*parts[1 if parts[:1] == ('configs',) else 0 :])
    if not Path(path).is_absolute() and inside.is_file():
        return str(inside)
    if len(parts) == 1 and not Path(path).suffix:
        return next((str(f) for f in sorted(folder.rglob('*.py')) if f.stem == path), None)
    return None


def config_of_checkpoint(path: str | os.PathLike) -> Config:
    """The config that a checkpoint was trained with, as mmengine stores it.

    It is text of a program, of which only plain values are read: nothing of it is run.

    Raises:
        FileNotFoundError: There is no such file.
        UserError: It has no config, or one that is more than plain values.
    """
    from mmengine.config import Config

    from mmps.utils.checkpoint import read_checkpoint

    content = read_checkpoint(path)
    meta = content.get('meta') if isinstance(content, dict) else None
    text = meta.get('cfg') if isinstance(meta, dict) else None
    if not isinstance(text, str):
        raise UserError(f'checkpoint {path} holds no config: give its config file too')
    try:
        entries = {
            line.targets[0].id: ast.literal_eval(_AsLiterals().visit(line.value))
            for line in ast.parse(text).body
            if not isinstance(line, (ast.Import, ast.ImportFrom))
        }
    except (AttributeError, SyntaxError, TypeError, ValueError) as error:
        raise UserError(
            f'the config in checkpoint {path} is more than plain values ({error}): give its config '
            'file too'
        ) from error
    # mmengine writes the config of a run under the last part of this name.
    return Config(entries, cfg_text=text, filename=os.fspath(Path(path).with_suffix('.py')))


class _AsLiterals(ast.NodeTransformer):
    """``dict(...)`` and ``inf`` are literals too; everything else stays what it is."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        names = [word.arg for word in node.keywords]
        if getattr(node.func, 'id', '') != 'dict' or node.args or None in names:
            return node
        return ast.Dict(list(map(ast.Constant, names)), [word.value for word in node.keywords])

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(float('inf')) if node.id == 'inf' else node


def set_options(config: Config, path: str, options: dict[str, Any]) -> None:
    """Apply ``--cfg-options`` to a config that was read from ``path``.

    Raises:
        UserError: An option does not fit into it.
    """
    try:
        config.merge_from_dict(options)
    except (KeyError, TypeError, IndexError, AssertionError) as error:
        raise UserError(f'--cfg-options do not fit config {path}: {error}') from error


def require_entries(config: Config, path: str, keys: Sequence[str]) -> None:
    """Raise `UserError` unless the config has a value for each of ``keys``."""
    missing = [key for key in keys if config.get(key) is None]
    if missing:
        raise UserError(f'config {path} has no {", ".join(missing)}')
