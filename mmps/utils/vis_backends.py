"""Where a run's curves go, and what has to be installed for it."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from mmps.utils.cli import UserError

if TYPE_CHECKING:
    from mmengine.config import Config

_PACKAGES = {
    'TensorboardVisBackend': 'tensorboard',
    'WandbVisBackend': 'wandb',
    'MLflowVisBackend': 'mlflow',
    'ClearMLVisBackend': 'clearml',
    'NeptuneVisBackend': 'neptune',
    'DVCLiveVisBackend': 'dvclive',
    'AimVisBackend': 'aim',
}
_BY_DEFAULT = 'TensorboardVisBackend'


def require_vis_backends(config: Config) -> None:
    """Check the packages of ``visualizer.vis_backends``.

    The one that no config asks for, but all have by default, is left out where its package is
    missing, and a line says so: the same curves are in ``vis_data/scalars.json``.

    Raises:
        UserError: The package of another one is not installed.
    """
    backends = config.get('visualizer', {}).get('vis_backends') or []
    missing = {
        backend.type: _PACKAGES[backend.type]
        for backend in backends
        if backend.type in _PACKAGES and importlib.util.find_spec(_PACKAGES[backend.type]) is None
    }
    if _BY_DEFAULT in missing:
        print(f'no curves for TensorBoard: pip install {missing.pop(_BY_DEFAULT)}')
        config.visualizer.vis_backends = [b for b in backends if b.type != _BY_DEFAULT]
    if missing:
        raise UserError(
            f'visualizer.vis_backends: {", ".join(missing)} needs a package that is not installed: '
            f'pip install {" ".join(missing.values())}'
        )
