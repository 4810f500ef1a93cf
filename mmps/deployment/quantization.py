"""An exported model whose convolutions compute in int8."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence

import numpy as np

from mmps.apis.preprocessing import Preprocessing
from mmps.deployment.exported_model import network_inputs
from mmps.deployment.model_file import ModelFile, require


def write_int8(
    path: str | os.PathLike,
    out: str | os.PathLike,
    preprocessing: Preprocessing,
    images: Sequence[np.ndarray],
) -> None:
    """Write the int8 form of an exported file, its convolutions quantised statically.

    Weights get 7 bits: the products of 8 saturate on CPUs without VNNI.

    Args:
        path: What :func:`write_onnx` wrote.
        out: A new file.
        preprocessing: Of the model.
        images: (h, w, 3) uint8 BGR, from which the range of each activation is taken.
    """
    require('onnxruntime')
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    file = ModelFile.read(path)

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._left: Iterator[np.ndarray] = iter(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self._left, None)
            if image is None:
                return None
            batch = preprocessing([image], [np.zeros((0, 4), np.float32)])
            return network_inputs(**batch, size_divisor=file.size_divisor)

    logging.disable(logging.WARNING)  # of every bias that is no constant, and may stay in float32
    try:
        quantize_static(
            os.fspath(path),
            os.fspath(out),
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=['Conv'],
            per_channel=True,
            reduce_range=True,
        )
    finally:
        logging.disable(logging.NOTSET)
    file.in_precision('int8').write(out)
