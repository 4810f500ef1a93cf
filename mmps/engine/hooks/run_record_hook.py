from __future__ import annotations

import shlex
import socket
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

import mmps
from mmps.registry import HOOKS
from mmps.utils.collect_env import collect_env
from mmps.utils.files import whole_file, write_json
from mmps.utils.git import GitState, git_state
from mmps.utils.training_log import RECORD

_LARGEST_DIFF = 1_000_000


@HOOKS.register_module()
class RunRecordHook(Hook):
    """Writes down what a training or a test was made with, into the folder of its log.

    ``WORK_DIR/TIMESTAMP/run.json`` has what mmengine does not keep in a form to be read by
    programs: command, host, start, seed, ranks, what it goes on from, packages and hardware, and
    commit and changes of the checkouts. The resolved config is beside it, in
    ``vis_data/config.py``; what was changed but not committed, in ``uncommitted_*.diff``. A resumed
    run has a folder of its own, so that the records of the earlier ones stay.
    """

    def before_train(self, runner: Runner) -> None:
        """Writes the record of a training."""
        self._write(runner, 'train', start_iteration=runner.iter)

    def before_test(self, runner: Runner) -> None:
        """Writes the record of a test."""
        self._write(runner, 'test')

    @master_only
    def _write(self, runner: Runner, task: str, **more: Any) -> None:
        folder = Path(runner.log_dir)
        write_json(
            folder / RECORD,
            {
                'task': task,
                'command': shlex.join([sys.executable, *sys.argv]),
                'working_folder': str(Path.cwd()),
                'host': socket.gethostname(),
                'started': datetime.now().astimezone().isoformat(timespec='seconds'),
                'config': runner.cfg.filename,
                'seed': runner.seed,
                'deterministic': runner.deterministic,
                'ranks': runner.world_size,
                'launcher': runner.launcher,
                'checkpoint': runner._load_from,
                'resumed': bool(runner._resume),
                **more,
                'checkouts': _checkouts(folder),
                'environment': collect_env(),
            },
        )


def _checkouts(folder: Path) -> list[dict[str, Any]]:
    """The checkouts of mmps and of the working folder, which may hold the user's own configs."""
    found: dict[Path, GitState] = {}
    for place in (Path(mmps.__file__).parent, Path.cwd()):
        try:
            state = git_state(place)
        except (OSError, subprocess.SubprocessError):  # no git here: a run is no reason to need it
            continue
        if state is not None:
            found[state.root] = state
    return [_describe(state, folder) for state in found.values()]


def _describe(state: GitState, folder: Path) -> dict[str, Any]:
    entry: dict[str, Any] = {
        'root': str(state.root),
        'commit': state.commit,
        'dirty': bool(state.changed),
    }
    if state.changed:
        entry['changed'] = list(state.changed[:100])
        diff = state.diff()
        if len(diff) > _LARGEST_DIFF:
            entry['diff'] = f'not kept: {len(diff)} characters'
        elif diff:
            entry['diff'] = f'uncommitted_{state.root.name}.diff'
            with whole_file(folder / entry['diff']) as temporary:
                temporary.write_text(diff, 'utf-8', 'surrogateescape')
    return entry
