"""The config of a published model, to test it on a data set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmengine.config import Config

    from mmps.published import PublishedModel

CONFIGS = Path(__file__).parents[2] / 'configs'
OWN_DATA = CONFIGS / 'custom/ps_densenet121_att_own_data.py'
"""Whose test set is taken where nobody names another: own data in COCO style."""


def published_config(model: PublishedModel, data: str | os.PathLike = OWN_DATA) -> Config:
    """The config of a model with the test set, the metric and the runtime of another config.

    The model resizes images itself, so that their pipeline does not.

    Args:
        model: A published model.
        data: Config file of any model on the data set.

    Raises:
        UserError: The config cannot be read, or has no test set; a file of the model is missing.
    """
    from mmps.utils.config import load_config, require_entries

    config = load_config(os.fspath(data), {})
    require_entries(config, str(data), ('test_dataloader', 'test_evaluator'))
    for key in ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler'):
        config.pop(key, None)
    for loader in (config.test_dataloader, config.get('val_dataloader')):
        if loader is not None:
            steps = loader.dataset.pipeline
            loader.dataset.pipeline = [step for step in steps if step.type != 'Resize']
    config.model = model.resolved()
    return config
