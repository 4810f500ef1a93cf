"""The log of a training, read back from its work dir as one, however often it was resumed."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmps.utils.errors import UserError

RECORD = 'run.json'
"""What ``RunRecordHook`` writes about each run, beside its log."""
_SCALARS = 'vis_data/scalars.json'
_NO_CURVES = {'epoch', 'iter', 'step'}


@dataclass
class TrainingLog:
    """Curves of one training.

    Attributes:
        curves: Name to its points: iteration and value, of training and validation.
        validated: Names that come from validations.
        runs: How many runs it took: 1 and the times it was resumed.
        epochs: The last epoch that is in the log.
        steps: Training steps that were logged and became part of the model.
        seconds: Time spent in these steps, validations not counted.
        data_seconds: The part of it spent waiting for data.
    """

    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    validated: set[str] = field(default_factory=set)
    runs: int = 0
    epochs: int = 0
    steps: int = 0
    seconds: float = 0.0
    data_seconds: float = 0.0

    @property
    def iterations(self) -> int:
        """The last iteration that is in the log."""
        return max(points[-1][0] for points in self.curves.values())

    def best(self, key: str) -> tuple[int, float] | None:
        """The best point of a curve: least of a loss, largest of a validation; else None."""
        if 'loss' in key:
            return min(self.curves[key], key=lambda point: point[1])
        if key in self.validated:
            return max(self.curves[key], key=lambda point: point[1])
        return None


def read_training_log(work_dir: Path) -> TrainingLog:
    """Join the runs of a work dir: where they overlap, the later one is what became of the model.

    Args:
        work_dir: Folder of the training, or of one of its runs.

    Raises:
        UserError: There is no log of a training in it, or one is damaged.
    """
    files = sorted(work_dir.glob(f'*/{_SCALARS}')) or sorted(work_dir.glob(_SCALARS))
    runs = [(file, _rows(file)) for file in files]
    runs = [(_start(*run), run[1]) for run in runs if any('iter' in row for row in run[1])]
    if not runs:
        raise UserError(f'{work_dir}: no log of a training (looked for */{_SCALARS})')
    log = TrainingLog(runs=len(runs))
    for number, (iteration, rows) in enumerate(runs):
        until = min((later for later, _ in runs[number + 1 :]), default=float('inf'))
        for row in rows:
            steps = row.get('iter', iteration) - iteration
            iteration += steps
            if iteration > until:
                break
            no_curves = _NO_CURVES
            if 'iter' in row:
                log.steps += steps
                log.seconds += steps * row.get('time', 0.0)
                log.data_seconds += steps * row.get('data_time', 0.0)
                log.epochs = max(log.epochs, row.get('epoch', 0))
            else:
                no_curves = _NO_CURVES | {'time', 'data_time'}
            for key, value in row.items():
                if key not in no_curves and isinstance(value, int | float):
                    log.curves.setdefault(key, []).append((iteration, float(value)))
                    if 'iter' not in row:
                        log.validated.add(key)
    return log


def _rows(path: Path) -> list[dict[str, Any]]:
    rows, lines = [], path.read_text().splitlines()
    for number, line in enumerate(lines, 1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < len(lines):  # the last line of a killed run may be cut short
                raise UserError(f'{path}, line {number}: not JSON ({error})') from error
    return rows


def _start(path: Path, rows: list[dict[str, Any]]) -> int:
    """The iteration that a run started at, by its record."""
    record = path.parents[1] / RECORD
    if record.is_file():
        found = json.loads(record.read_text()).get('start_iteration')
        if found is not None:
            return found
    # Without one the first line is taken to cover as many steps as the second.
    trained = [row['iter'] for row in rows if 'iter' in row]
    return max(2 * trained[0] - trained[1] if len(trained) > 1 else trained[0] - 1, 0)
