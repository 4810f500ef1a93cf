"""One training of the grid: its folder, and what is left to do."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mmps.utils.config import load_config, require_entries
from mmps.utils.errors import UserError
from mmps.utils.files import whole_file

from .experiments import Experiment, Grid

if TYPE_CHECKING:
    from mmengine.config import Config

Step = Literal['train', 'test', 'evaluate']


@dataclass(frozen=True)
class Run:
    """An experiment with one seed.

    Attributes:
        experiment: Name of the experiment.
        seed: Its seed.
        folder: Everything that the run reads and writes.
        config: Its complete config.
    """

    experiment: str
    seed: int
    folder: Path
    config: Config

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def config_file(self) -> Path:
        """The config as the tools read it; not in :attr:`train_dir`, where mmengine dumps one."""
        return self.folder / 'config.py'

    @property
    def train_dir(self) -> Path:
        return self.folder / 'train'

    @property
    def test_dir(self) -> Path:
        return self.folder / 'test'

    @property
    def predictions(self) -> Path:
        return self.folder / 'predictions.npz'

    @property
    def metrics_file(self) -> Path:
        return self.folder / 'metrics.json'

    @property
    def checkpoint(self) -> Path:
        """The checkpoint that a finished training leaves."""
        loop = self.config.train_cfg
        if 'max_epochs' in loop:
            return self.train_dir / f'epoch_{loop.max_epochs}.pth'
        return self.train_dir / f'iter_{loop.max_iters}.pth'

    def log(self, step: Step) -> Path:
        """What the command of a step prints."""
        return self.folder / f'{step}.log'

    def next_step(self) -> Step | None:
        """What is to be done next, or None if the run is complete."""
        if self.metrics_file.exists():
            return None
        if self.predictions.exists():
            return 'evaluate'
        # Truncated by whatever is not AtomicLocalBackend, it would count as missing.
        if zipfile.is_zipfile(self.checkpoint):
            return 'test'
        return 'train'

    def metrics(self) -> dict[str, float] | None:
        """The numbers of a complete run, else None."""
        return json.loads(self.metrics_file.read_text()) if self.metrics_file.exists() else None

    def write_config(self) -> None:
        """Write the config for the tools, unless it is there."""
        if not self.config_file.exists():
            with whole_file(self.config_file) as temporary:
                temporary.write_text(self.config.pretty_text, 'utf-8')

    def check_config(self) -> None:
        """Refuse to go on with a run that was begun with another config.

        Raises:
            UserError: It was; the message names the settings.
        """
        if not self.config_file.exists():
            return
        begun = _flat(load_config(str(self.config_file), {}).to_dict())
        wanted = _flat(self.config.to_dict())
        different = [
            f'{key} was {begun.get(key, "absent")!r}, is {wanted.get(key, "absent")!r}'
            for key in sorted(begun.keys() | wanted.keys())
            if begun.get(key, KeyError) != wanted.get(key, KeyError)
        ]
        if different:
            more = f' and {len(different) - 5} more' if len(different) > 5 else ''
            raise UserError(
                f'{self.folder} was begun with other settings: {"; ".join(different[:5])}{more}. '
                f'Undo the change, or delete the folder to begin anew, or delete '
                f'{self.config_file} to go on with the new settings'
            )


def make_runs(grid: Grid, folder: Path, options: Mapping[str, Any]) -> list[Run]:
    """The runs of a grid, in order, one folder below ``folder`` each.

    Args:
        grid: The grid.
        folder: Folder of the grid.
        options: Settings to change in every config, after those of the grid.

    Raises:
        UserError: A config is missing or unusable, options do not fit, or a run was begun with
            other settings.
    """
    runs = [
        Run(
            experiment=experiment.name,
            seed=seed,
            folder=folder / f'{experiment.name}_seed{seed}',
            config=_merged(experiment, [*experiment.options, options, {'randomness.seed': seed}]),
        )
        for experiment in grid.experiments
        for seed in experiment.seeds
    ]
    for run in runs:
        run.check_config()
    return runs


def _merged(experiment: Experiment, options: Sequence[Mapping[str, Any]]) -> Config:
    from copy import deepcopy

    config = load_config(str(experiment.config), {})
    for some in options:
        try:
            # mmengine takes ``_delete_`` out of what it merges
            config.merge_from_dict(deepcopy(dict(some)))
        except (KeyError, TypeError, IndexError, AssertionError) as error:
            raise UserError(
                f'experiment {experiment.name}: options do not fit {experiment.config}: {error}'
            ) from error
    require_entries(config, str(experiment.config), ('train_cfg', 'test_dataloader'))
    if not {'max_epochs', 'max_iters'} & config.train_cfg.keys():
        raise UserError(f'{experiment.config}: train_cfg has neither max_epochs nor max_iters')
    return config


def _flat(value: Any, key: str = '') -> dict[str, Any]:
    """Leaves of nested dictionaries and lists by dotted key."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    else:
        return {key: value}
    flat = {key: type(value)()} if not value else {}
    for name, inner in items:
        flat |= _flat(inner, f'{key}.{name}' if key else str(name))
    return flat
