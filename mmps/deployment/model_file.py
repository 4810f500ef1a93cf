"""What an exported file says about itself."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmps.retrieval import ModelTag
from mmps.utils.errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config
    from torch import nn

INPUTS = ('images', 'sizes', 'boxes', 'box_images', 'detect')
OUTPUTS = ('people_images', 'people_boxes', 'people_scores', 'people_embeddings', 'box_embeddings')
KEY = 'mmps'
"""Under which ONNX's metadata hold the rest, as JSON."""


@dataclass(frozen=True)
class ModelFile:
    """How images have to come in, and which model it is.

    Attributes:
        tag: Which model made the embeddings.
        size_divisor: Height and width of ``images`` are multiples of it.
        steps: What the test pipeline does to an image before, such as ``Resize``.
        precision: ``float32`` or ``int8``.
    """

    tag: ModelTag
    size_divisor: int
    steps: tuple[dict[str, Any], ...]
    precision: str = 'float32'

    def in_precision(self, precision: str) -> ModelFile:
        """The same model computed otherwise, which is another one to a gallery."""
        tag = ModelTag(
            f'{self.tag.fingerprint}-{precision}',
            self.tag.embed_dim,
            f'{self.tag.name}, {precision}',
        )
        return replace(self, tag=tag, precision=precision)

    def write(self, path: str | os.PathLike) -> None:
        """Add it to an ONNX file."""
        import onnx

        model = onnx.load(path)
        onnx.helper.set_model_props(model, {KEY: json.dumps(asdict(self))})
        onnx.save(model, path)

    @classmethod
    def read(cls, path: str | os.PathLike) -> ModelFile:
        """What a file says.

        Raises:
            FileNotFoundError: There is no such file.
            UserError: It is no model that ``export_onnx.py`` wrote.
        """
        onnx = require('onnx')
        if not Path(path).is_file():
            raise FileNotFoundError(f'model {path} does not exist')
        try:
            properties = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
            content = json.loads(properties[KEY])
            tag = ModelTag(**content.pop('tag'))
            return cls(tag=tag, **{**content, 'steps': tuple(content['steps'])})
        except Exception as error:  # onnx has no exception of its own for what is not protobuf
            raise UserError(
                f'model {path} is damaged, or was not written by tools/deployment/export_onnx.py: '
                f'{type(error).__name__}: {error}'
            ) from error


def model_file(config: Config, model: nn.Module, checkpoint: str | os.PathLike) -> ModelFile:
    """What a file says about the model of a config with the weights of a checkpoint."""
    from mmps.apis.model_tag import model_tag

    divisor = model.data_preprocessor.pad_size_divisor
    return ModelFile(model_tag(config, model, checkpoint), divisor, plain_steps(config))


def plain_steps(config: Config) -> tuple[dict[str, Any], ...]:
    """What the test pipeline does to an image, as it is read from a file: lists for tuples."""
    from mmps.apis.preprocessing import test_steps

    return tuple(json.loads(json.dumps(test_steps(config))))


def require(package: str):
    """Import an optional package.

    Raises:
        ImportError: It is not installed; the message says how to install it.
    """
    import importlib

    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise ImportError(
            f"exported models need {package}: pip install 'mmps[export]'", name=package
        ) from error
