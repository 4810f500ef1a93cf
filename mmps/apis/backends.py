"""What runs a network."""

from __future__ import annotations

import os

BACKENDS = {
    'torch': ('mmps.apis.network', 'TorchNetwork'),
    'onnxruntime': ('mmps.deployment', 'OnnxNetwork'),
    'openvino': ('mmps.deployment', 'OpenVINONetwork'),
}
"""Where the networks are: each is made from config, checkpoint and device."""


def default_backend(checkpoint: str | os.PathLike) -> str:
    """What runs a checkpoint, or an exported model, which is named ``.onnx``."""
    return 'onnxruntime' if os.fspath(checkpoint).endswith('.onnx') else 'torch'
