"""What runs a network: which class, for what was given."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

from mmps.utils.errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config

    from mmps.apis.network import Network
    from mmps.published import PublishedModel

BACKENDS = {
    'torch': ('mmps.apis.network', 'TorchNetwork'),
    'onnxruntime': ('mmps.deployment', 'OnnxNetwork'),
    'openvino': ('mmps.deployment', 'OpenVINONetwork'),
}
"""Where the networks are: each is made from config, checkpoint and device."""

FRAMES_AT_ONCE = 8
"""Of two networks in files, where nobody says otherwise: enough for all cores to have one."""


def default_backend(checkpoint: str | os.PathLike | None) -> str:
    """What runs a checkpoint, or an exported model, which is named ``.onnx``."""
    return 'onnxruntime' if os.fspath(checkpoint or '').endswith('.onnx') else 'torch'


def open_network(
    config: str | os.PathLike | Config,
    checkpoint: str | os.PathLike | None,
    device: str,
    backend: str | None,
) -> tuple[Network, int]:
    """The network of a config and a checkpoint, and how many images it takes at once.

    Raises:
        UserError: See :class:`PersonSearcher`.
        ValueError: There is no such backend.
    """
    from mmps.apis.network import read_config
    from mmps.utils.checkpoint import existing_file

    if checkpoint is not None:
        checkpoint = existing_file(checkpoint)  # before anything that takes longer
    backend = default_backend(checkpoint) if backend is None else backend
    if backend not in BACKENDS:
        raise ValueError(f'backend={backend!r}: there are {", ".join(BACKENDS)}')
    if checkpoint is None and backend != 'torch':
        raise UserError(f'backend {backend} needs an exported model in place of the checkpoint')
    config = read_config(config)
    module, name = BACKENDS[backend]
    network = getattr(importlib.import_module(module), name)(config, checkpoint, device)
    return network, config.test_dataloader.get('batch_size', 1)


def open_published(
    model: PublishedModel, device: str, backend: str | None, score_thr: float = 0.0
) -> tuple[Network, int]:
    """The network of a published model, and how many images it takes at once.

    Nobody found with a score below ``score_thr`` will be asked for.

    Raises:
        UserError: A file is missing or damaged, or the backend cannot run it.
    """
    if model.is_two_files:
        from mmps.apis.two_networks import TwoNetworks

        if backend == 'torch':
            raise UserError(f'{model.name} is exported: there are onnxruntime and openvino')
        network = TwoNetworks.of_model(model, score_thr, backend=backend, device=device)
        return network, FRAMES_AT_ONCE
    from mmps.apis.network import TorchNetwork
    from mmps.apis.published_config import published_config

    if backend not in (None, 'torch'):
        raise UserError(f'{model.name} runs in PyTorch; export it to run it by {backend}')
    return TorchNetwork(published_config(model), None, device, model.name), 1
