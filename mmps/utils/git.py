"""The state of a checkout."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class GitState:
    """Commit and changes of a working tree.

    Attributes:
        root: Top folder.
        commit: Full hash.
        date: Day of the commit, ``YYYY-MM-DD``.
        changed: Files that differ from the commit, as ``git status --porcelain`` writes them.
    """

    root: Path
    commit: str
    date: str
    changed: tuple[str, ...]

    def diff(self) -> str:
        """What was changed in tracked files since the commit."""
        return _git(self.root, 'diff', 'HEAD', '--no-color', '--no-ext-diff')


def git_state(folder: Path) -> GitState | None:
    """The state of the checkout that a folder is in, or None where it is in none.

    Raises:
        OSError, subprocess.SubprocessError: git is missing or fails.
    """
    if not any((parent / '.git').exists() for parent in (folder, *folder.parents)):
        return None
    root = Path(_git(folder, 'rev-parse', '--show-toplevel').strip())
    commit, date = _git(root, 'log', '-1', '--format=%H %cs').split()
    changed = _git(root, 'status', '--porcelain').splitlines()
    return GitState(root, commit, date, tuple(changed))


def _git(folder: Path, *arguments: str) -> str:
    result = subprocess.run(
        ('git', *arguments),
        cwd=folder,
        capture_output=True,
        text=True,
        errors='replace',
        timeout=20,
        check=True,
    )
    return result.stdout
