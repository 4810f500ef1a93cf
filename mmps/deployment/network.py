"""Networks for searching that run an exported file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmps.apis.network import Network, read_config
from mmps.apis.people import People
from mmps.apis.preprocessing import Preprocessing
from mmps.deployment.exported_model import ExportedPersonSearch
from mmps.deployment.model_file import plain_steps
from mmps.retrieval import ModelTag
from mmps.utils.errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config


class OnnxNetwork(Network):
    """An exported file, run by ONNX Runtime; a :class:`mmps.apis.network.Network`.

    What a gallery knows of it is the model it was exported from, so that galleries are shared with
    PyTorch; a file in int8 is a model of its own.

    Args:
        config: Path, or a config that has been read; the one the file was exported with.
        path: The file, written by ``tools/deployment/export_onnx.py``.
        options: See :class:`mmps.deployment.OnnxRuntime`.

    Attributes:
        tag: Which model it is.
        model: The model.

    Raises:
        UserError: The file is damaged, or was exported with other preprocessing than the config's.
    """

    backend = 'onnxruntime'

    def __init__(
        self,
        config: str | os.PathLike | Config,
        path: str | os.PathLike,
        device: str = 'auto',
        **options: str | int,
    ) -> None:
        config = read_config(config)
        self.model = ExportedPersonSearch(path, self.backend, device=device, **options)
        if self.model.file.steps != plain_steps(config):
            raise UserError(
                f'model {path} was exported with other preprocessing than the test pipeline of '
                f'{config.filename}: {list(self.model.file.steps)}; export it again'
            )
        self.preprocessing = Preprocessing(config)
        self.tag: ModelTag = self.model.file.tag

    def __call__(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray] | None = None
    ) -> list[People]:
        """See :class:`mmps.apis.network.Network`."""
        if not images:
            return []
        batch = self.preprocessing(images, boxes)
        if boxes is None:
            found = (sample.pred_instances for sample in self.model(**batch))
            return [
                People(*(one[key].numpy() for key in ('bboxes', 'scores', 'embeddings')))
                for one in found
            ]
        return [
            People(
                np.asarray(given, np.float32).reshape(-1, 4),
                np.ones(len(given), np.float32),
                sample.query_instances.embeddings.numpy(),
            )
            for given, sample in zip(boxes, self.model.embed(**batch), strict=True)
        ]


class OpenVINONetwork(OnnxNetwork):
    """The same by OpenVINO; options: see :class:`mmps.deployment.OpenVINORuntime`."""

    backend = 'openvino'
