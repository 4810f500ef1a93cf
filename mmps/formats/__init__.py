"""The files of every data set, read into one index; no torch and no mmengine.

A missing file is a ``FileNotFoundError``. What is unreadable or contradicts its layout is a
``ValueError``. The message names the file, the place in it and, where there is one, the fix.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from .coco import CocoPersonSearchFiles
from .cuhk03 import CUHK03Files
from .cuhk_sysu import CUHKSYSUFiles
from .loading import load_scenes
from .prw import PRWFiles
from .scene_index import Frame, Query, SceneFiles, SceneIndex

FORMATS: dict[str, type[SceneFiles]] = {
    'CUHK03Dataset': CUHK03Files,
    'CUHKSYSUDataset': CUHKSYSUFiles,
    'CocoPersonSearchDataset': CocoPersonSearchFiles,
    'PRWDataset': PRWFiles,
}
"""By the name of the registered data set that reads them."""


def scene_files(dataset: Mapping[str, Any]) -> SceneFiles:
    """The files that a data set's config, e.g. ``cfg.test_dataloader.dataset``, stands for.

    Raises:
        KeyError: The config's ``type`` is none of :data:`FORMATS`.
    """
    files = FORMATS[dataset['type']]
    options = {f.name: dataset[f.name] for f in fields(files) if f.name in dataset}
    return files(root=dataset['data_root'], **options)


def image_folder(dataset: Mapping[str, Any]) -> Path:
    """What the image names of a data set's config are relative to; see :func:`scene_files`."""
    files = scene_files(dataset)
    chosen = (dataset.get('data_prefix') or {}).get('img')
    return files.image_root if chosen is None else files.root / chosen


__all__ = [
    'FORMATS',
    'Frame',
    'Query',
    'SceneFiles',
    'SceneIndex',
    'image_folder',
    'load_scenes',
    'scene_files',
]
