"""A detector and a re-ID network in files of their own, as others export and publish them."""

import hashlib
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from mmps.deployment.runtimes import OnnxRuntime, OpenVINORuntime
from mmps.utils.crops import cut_people
from mmps.utils.errors import UserError

CROPS_AT_ONCE = 8
"""More gain nothing on a CPU, and keep a second core from having work of its own."""


class NetworkFile:
    """A network of one input image, in an ONNX file or OpenVINO's IR.

    Args:
        path: ``F.onnx``, or ``F.xml`` with ``F.bin`` beside it.
        input_size: Width and height that images are resized to.
        channels: ``bgr`` or ``rgb``.
        mean: Taken off each channel, in the network's order, on the scale 0..255.
        std: By which each is divided then.
        backend: ``onnxruntime`` or ``openvino``; None: the latter for IR.
        device, threads: See :class:`OnnxRuntime` and :class:`OpenVINORuntime`.
        precision: ``float32``; or ``auto``: by OpenVINO in bfloat16 on CPUs that have it, which is
            about twice as fast.

    Attributes:
        digest: SHA-256 of the files and of what is done to images before.
        precision: In what it computes, ``float32`` or ``bfloat16``.
        parallel: Whether several threads may and should use it at a time.

    Raises:
        UserError: A file is missing or cannot be run.
    """

    batch = -1
    """How many images go in at once; -1: any number."""

    def __init__(
        self,
        path: str | os.PathLike,
        input_size: Sequence[int],
        *,
        channels: str = 'bgr',
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
        backend: str | None = None,
        device: str = 'auto',
        threads: int = 0,
        precision: str = 'float32',
    ) -> None:
        if channels not in ('bgr', 'rgb'):
            raise UserError(f'{path}: channels={channels!r}; there are bgr, rgb')
        self.path = Path(path)
        self.width, self.height = (int(side) for side in input_size)
        self._channels = channels
        self._mean, self._std = np.float32(mean), np.float32(std)
        self.digest = self._digest()
        self._run = self._runtime(backend, device, threads, precision)
        self.precision = self._run.precision
        self.parallel = isinstance(self._run, OpenVINORuntime)

    def _runtime(
        self, backend: str | None, device: str, threads: int, precision: str
    ) -> OnnxRuntime | OpenVINORuntime:
        if backend is None:
            backend = 'openvino' if self.path.suffix == '.xml' else 'onnxruntime'
        if backend == 'openvino':
            options = dict(outputs=None, batch=self.batch, parallel=True)
            return OpenVINORuntime(self.path, device, threads, precision, **options)
        if backend != 'onnxruntime':
            raise UserError(f'{self.path}: backend={backend!r}; there are onnxruntime, openvino')
        if self.path.suffix == '.xml':
            raise UserError(f'{self.path}: only OpenVINO runs its IR; take backend openvino')
        return OnnxRuntime(self.path, device, threads, precision, outputs=None)

    def _digest(self) -> str:
        digest = hashlib.sha256()
        for suffix in ('.xml', '.bin') if self.path.suffix == '.xml' else (self.path.suffix,):
            file = self.path.with_suffix(suffix)
            if not file.is_file():
                raise UserError(f'model {file} does not exist')
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        how = (self.width, self.height, self._channels, self._mean.tolist(), self._std.tolist())
        digest.update(repr(how).encode())
        return digest.hexdigest()

    def _input(self, images: np.ndarray) -> np.ndarray:
        """Images ``(n, h, w, 3)`` uint8 BGR as the network takes them, ``(n, 3, h, w)`` float32."""
        # Several times as fast as transposing in NumPy.
        values = cv2.dnn.blobFromImages(images, swapRB=self._channels == 'rgb')
        if self._mean.any():
            values -= self._mean[:, None, None]
        if (self._std != 1).any():
            values /= self._std[:, None, None]
        return values


class DetectorFile(NetworkFile):
    """A detector that finds people.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mmps.testing.exported import write_tiny_networks
        >>> with TemporaryDirectory() as folder:
        ...     write_tiny_networks(folder)
        ...     network = DetectorFile(f'{folder}/detector.onnx', input_size=(64, 48))
        >>> network.find([np.zeros((96, 128, 3), np.uint8)])  # an image twice as large as the input
        [(array([[20., 20., 40., 80.]], dtype=float32), array([0.75], dtype=float32))]

    Args:
        path, input_size: See :class:`NetworkFile`, also for further options.
        output: ``ssd``: one output of rows (image, label, score, x1, y1, x2, y2), corners in shares
            of width and height, as of OpenVINO's ``DetectionOutput``. ``dets``: ``dets`` (1, n, 5),
            corners in pixels of the input and score, and ``labels`` (1, n), as MMDeploy and
            ``tools/deployment/export_onnx.py`` write.
        person_label: The class of people.
        score_thr: People found with a lower score are left out.
        keep_ratio: Resize without changing the ratio, and fill the right and the bottom.
        scale: Width and height within which is resized then, in either order, as mmdet's ``Resize``
            takes them; None: ``input_size``.
        pad_value: With what is filled, 0..255.
    """

    batch = 1

    def __init__(
        self,
        path: str | os.PathLike,
        input_size: Sequence[int],
        *,
        output: str = 'dets',
        person_label: int = 0,
        score_thr: float = 0.05,
        keep_ratio: bool = False,
        scale: Sequence[int] | None = None,
        pad_value: float = 114,
        **options,
    ) -> None:
        super().__init__(path, input_size, **options)
        if output not in ('ssd', 'dets'):
            raise UserError(f'{path}: output={output!r}; there are ssd, dets')
        self._output = output
        self._person_label = person_label
        self._score_thr = score_thr
        self._keep_ratio = keep_ratio
        self._scale = tuple(scale or (self.width, self.height))
        self._pad_value = pad_value

    def find(self, images: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        """The people in images (h, w, 3) uint8 BGR of any sizes.

        Returns:
            For each boxes (n, 4) float32 xyxy in its pixels, within it, and scores (n,) float32,
            the most certain first.
        """
        resized = [self._resized(image) for image in images]
        results = self._run.map(self._input(pixels[None]) for pixels, _ in resized)
        return [
            self._people(image, scale, outputs)
            for image, (_, scale), outputs in zip(images, resized, results, strict=True)
        ]

    def _resized(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The input and its pixels per pixel of the image, (2,)."""
        height, width = image.shape[:2]
        size = self.width, self.height
        if self._keep_ratio:
            longer, shorter = max(self._scale), min(self._scale)
            share = min(longer / max(width, height), shorter / min(width, height))
            size = int(width * share + 0.5), int(height * share + 0.5)
        pixels = cv2.resize(image, size)
        if size != (self.width, self.height):
            right, bottom = self.width - size[0], self.height - size[1]
            if min(right, bottom) < 0:
                raise UserError(
                    f'{self.path}: scale={self._scale} makes images {size[0]} x {size[1]}, larger '
                    f'than input_size={[self.width, self.height]}'
                )
            value = (self._pad_value,) * 3
            pixels = cv2.copyMakeBorder(
                pixels, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=value
            )
        return pixels, np.array([size[0] / width, size[1] / height])

    def _people(
        self, image: np.ndarray, scale: np.ndarray, outputs: list[np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        height, width = image.shape[:2]
        if self._output == 'ssd':
            rows = outputs[0].reshape(-1, 7)
            labels, scores = rows[:, 1], rows[:, 2]
            boxes = rows[:, 3:] * np.float32([width, height] * 2)
            labels = np.where(rows[:, 0] < 0, -1, labels)  # of another image: this ends the list
        else:
            dets, labels = self._dets(outputs)
            scores, boxes = dets[:, 4], dets[:, :4] / np.tile(scale, 2)
        boxes = boxes.clip(0, [width, height] * 2).astype(np.float32)
        usable = (labels == self._person_label) & (scores >= self._score_thr)
        usable &= (boxes[:, 2:] > boxes[:, :2]).all(1)
        order = np.flatnonzero(usable)[np.argsort(-scores[usable], kind='stable')]
        return boxes[order], scores[order].astype(np.float32)

    def _dets(self, outputs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        dets = next((one for one in outputs if one.ndim == 3 and one.shape[2] == 5), None)
        labels = (one for one in outputs if dets is not None and one.shape == dets.shape[:2])
        for found in labels:
            return dets[0], found[0]
        shapes = ', '.join(str(one.shape) for one in outputs)
        raise UserError(
            f'{self.path}: output=dets needs outputs (1, n, 5) and (1, n), there are {shapes}'
        )


class ReIDFile(NetworkFile):
    """A re-ID network: ``input_size`` is that of the crops, ``path`` and options as for
    :class:`NetworkFile`. Its first output is the embedding.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mmps.testing.exported import write_tiny_networks
        >>> with TemporaryDirectory() as folder:
        ...     write_tiny_networks(folder)
        ...     network = ReIDFile(f'{folder}/reid.onnx', input_size=(8, 16))
        >>> white = np.full((1, 16, 8, 3), 255, np.uint8)
        >>> network.embed_crops(white).round(3)
        array([[0.577, 0.577, 0.577]], dtype=float32)
    """

    def cut(self, image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Crops (n, height, width, 3) uint8 of boxes (n, 4) xyxy in an image (h, w, 3) uint8."""
        return cut_people(image, boxes, (self.width, self.height))

    def embed_crops(self, crops: np.ndarray) -> np.ndarray:
        """Embeddings (n, D) float32 of unit norm of crops (n, height, width, 3) uint8 BGR."""
        if not len(crops):
            return np.zeros((0, self.embed_dim), np.float32)
        size = self._run.batch or CROPS_AT_ONCE
        parts = (crops[start : start + size] for start in range(0, len(crops), size))
        results = self._run.map(self._filled(part) for part in parts)
        rows = np.concatenate([outputs[0].reshape(len(outputs[0]), -1) for outputs in results])
        rows = rows[: len(crops)].astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-12)

    def _filled(self, crops: np.ndarray) -> np.ndarray:
        """The input; a file of a fixed batch gets the last crop again where some are missing."""
        missing = (self._run.batch or len(crops)) - len(crops)
        return self._input(np.concatenate([crops, crops[-1:].repeat(missing, 0)]))

    @cached_property
    def embed_dim(self) -> int:
        """D, the length of an embedding."""
        blank = np.zeros((1, self.height, self.width, 3), np.uint8)
        return self.embed_crops(blank).shape[1]
