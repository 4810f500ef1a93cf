"""The seam between searching and the networks: images in, people out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mmps.apis.people import People
from mmps.utils.errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config

    from mmps.apis.preprocessing import Prepared
    from mmps.retrieval import ModelTag


class Network(Protocol):
    """What finds and embeds people, by whichever runtime.

    Attributes:
        tag: Which model it is.
    """

    tag: ModelTag

    def prepare(self, image: np.ndarray) -> Any:
        """What a call takes in place of an image (h, w, 3) uint8 BGR, made in advance by another
        thread where that is of use; else the image.
        """
        return image

    def __call__(
        self, images: Sequence[Any], boxes: Sequence[np.ndarray] | None = None
    ) -> list[People]:
        """Run the network once.

        Args:
            images: (h, w, 3) uint8 BGR each, of any sizes; or prepared, if nobody gives boxes.
            boxes: None: find people. Else (m, 4) xyxy for each image, in its pixels: embed those
                boxes and find nobody; their scores are 1.

        Returns:
            For each image its people, with boxes in its pixels and embeddings of unit norm.
        """


def read_config(config: str | os.PathLike | Config, options: dict | None = None) -> Config:
    """The config of a model that is going to be used.

    Raises:
        UserError: It cannot be read, or names no model.
    """
    from mmps.utils.config import load_config, require_entries

    if isinstance(config, (str, os.PathLike)):
        config = load_config(os.fspath(config), options or {})
    require_entries(config, str(config.filename), ('model', 'test_dataloader'))
    return config


def auto_device(device: str) -> str:
    """``auto`` is this process's GPU where there is one, else the CPU."""
    import torch

    if device != 'auto':
        return device
    if not torch.cuda.is_available():
        return 'cpu'
    return f'cuda:{int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count()}'


class TorchNetwork(Network):
    """The network of a config in PyTorch, with the weights of a checkpoint.

    On a CPU, memory that the network frees stays with the process (``keep_freed_memory``).

    Args:
        config: Path, or a config that has been read.
        checkpoint: Weights; read without running what the file may contain. None: the config names
            the weights of all parts, as that of a ``TwoStepPersonSearch`` can.
        device: As in PyTorch, or ``auto``.
        name: For galleries; None: the names of config and checkpoint.

    Attributes:
        tag: Which model it is.
        preprocessing: Of the config's test pipeline.
        model: The network, in evaluation mode.

    Raises:
        UserError: A file is missing or damaged, or the weights are of another model.
    """

    def __init__(
        self,
        config: str | os.PathLike | Config,
        checkpoint: str | os.PathLike | None,
        device: str = 'auto',
        name: str | None = None,
    ) -> None:
        from mmengine.registry import init_default_scope

        from mmps.apis.model_tag import model_tag
        from mmps.apis.preprocessing import Preprocessing
        from mmps.utils.memory import keep_freed_memory

        config = read_config(config)
        init_default_scope(config.get('default_scope', 'mmps'))
        self.preprocessing = Preprocessing(config)
        self.model = build_model(config, checkpoint)
        self.tag: ModelTag = model_tag(config, self.model, checkpoint, name)
        self._device = auto_device(device)
        self.model.to(self._device)
        if self._device == 'cpu':
            keep_freed_memory()

    def prepare(self, image: np.ndarray) -> np.ndarray | Prepared:
        """See :class:`Network`.

        On a CPU, threads of PyTorch that resize would compete with those that run the network:
        indexing took twice as long.
        """
        return image if self._device == 'cpu' else self.preprocessing.prepare(image)

    def __call__(
        self, images: Sequence[np.ndarray | Prepared], boxes: Sequence[np.ndarray] | None = None
    ) -> list[People]:
        """See :class:`Network`."""
        import torch

        if not images:
            return []
        batch = self.preprocessing(images, boxes)
        with torch.no_grad():
            if boxes is None:
                samples = self.model.test_step(batch)
                return [_people(sample.pred_instances) for sample in samples]
            batch = self.model.data_preprocessor(batch)
            samples = self.model.embed(batch['inputs'], batch['data_samples'])
        return [
            People(
                np.asarray(given, np.float32).reshape(-1, 4),
                np.ones(len(given), np.float32),
                _array(sample.query_instances.embeddings),
            )
            for given, sample in zip(boxes, samples, strict=True)
        ]


def needs_checkpoint(model: Mapping[str, Any]) -> bool:
    """Whether the config of a model leaves open where the weights of one of its parts are."""
    if model.get('type') != 'TwoStepPersonSearch':
        return True
    return any(
        not model[part]['type'].startswith('Exported') and not model.get(f'{part}_checkpoint')
        for part in ('detector', 'reid')
    )


def build_model(config: Config, checkpoint: str | os.PathLike | None):
    """The network of a config with the weights of a checkpoint, in evaluation mode, on the CPU.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        CheckpointError: It is damaged, or of another model.
        UserError: There is none, and the model needs one.
    """
    import mmdet.models  # noqa: F401 registers what configs name

    import mmps.models  # noqa: F401
    from mmps.registry import MODELS
    from mmps.utils.checkpoint import check_state_dict, load_state_dict

    if checkpoint is None:
        if needs_checkpoint(config.model):
            raise UserError(f'the model of {config.filename or "the config"} needs a checkpoint')
        return MODELS.build(config.model).eval()
    path = str(Path(checkpoint))
    state = load_state_dict(path)
    # Which would only be replaced.
    initial = ('pretrained', 'detector_checkpoint', 'reid_checkpoint')
    model = MODELS.build({k: None if k in initial else v for k, v in config.model.items()})
    check_state_dict(model, state, path)
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    # What belongs to a loss may be of another training set.
    fitting = {name: value for name, value in state.items() if shapes.get(name) == value.shape}
    model.load_state_dict(fitting, strict=False)
    return model.eval()


def _people(instances) -> People:
    return People(*(_array(instances[key]) for key in ('bboxes', 'scores', 'embeddings')))


def _array(tensor) -> np.ndarray:
    return tensor.float().cpu().numpy()
