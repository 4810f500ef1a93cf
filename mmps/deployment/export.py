"""A trained model to one ONNX file."""

from __future__ import annotations

import os
import warnings

import torch
from torch import Tensor

from mmps.deployment.exportable import ExportablePersonSearch
from mmps.deployment.model_file import INPUTS, OUTPUTS, ModelFile, require
from mmps.deployment.operators import OPSET, register_onnx_forms
from mmps.models.detectors import PersonSearch

DYNAMIC = {
    'images': {0: 'images', 1: 'height', 2: 'width'},
    'sizes': {0: 'images'},
    'boxes': {0: 'boxes'},
    'box_images': {0: 'boxes'},
    **{name: {0: 'people'} for name in OUTPUTS[:-1]},
    OUTPUTS[-1]: {0: 'boxes'},
}
"""What may be of any length, by input or output and axis."""


def write_onnx(model: PersonSearch, path: str | os.PathLike, file: ModelFile) -> None:
    """Write the whole model; any number of images and boxes of any size.

    PyTorch's exporter by tracing is used. Its newer one, by symbolic shapes, takes 50 s of CPU time
    for the smallest model of the tests, where tracing takes 2 s.

    Args:
        model: In evaluation mode, on the CPU.
        path: A new file.
        file: What it says about itself.

    Raises:
        UserError: The model has a part that cannot be exported.
        ImportError: onnx is not installed.
    """
    require('onnx')
    register_onnx_forms()
    with warnings.catch_warnings(), torch.no_grad():
        # Of its being the older exporter, and of shapes that are fixed, as those of regions are.
        warnings.simplefilter('ignore')
        torch.onnx.export(
            ExportablePersonSearch(model).eval(),
            _example(file.size_divisor),
            os.fspath(path),
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_axes=DYNAMIC,
            opset_version=OPSET,
            dynamo=False,
        )
    file.write(path)


def _example(divisor: int) -> tuple[Tensor, ...]:
    """Inputs to trace with: values and sizes do not matter."""
    height, width = (-(-side // divisor) * divisor for side in (96, 128))
    images = torch.randint(0, 256, (2, height, width, 3), dtype=torch.uint8)
    sizes = torch.tensor([[height, width - 8], [height - 8, width]])
    boxes = torch.tensor(
        [[10.0, 10.0, 60.0, 90.0], [30.0, 5.0, 80.0, 80.0], [0.0, 0.0, 40.0, 90.0]]
    )
    return images, sizes, boxes, torch.tensor([0, 1, 1]), torch.tensor(True)
