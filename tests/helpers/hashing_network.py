"""A network without weights, which finds the same people in the same pixels."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from mmps.apis.network import Network
from mmps.apis.people import People
from mmps.retrieval import ModelTag

DIM = 8


class HashingNetwork(Network):
    """Finds zero to three people, wherever the checksum of the pixels says.

    Args:
        name: Of the model; another name is another model.

    Attributes:
        tag: Which model it is.
        batches: How many images each call has had.
    """

    def __init__(self, name: str = 'hashing') -> None:
        self.tag = ModelTag(name.encode().hex(), DIM, name)
        self.batches: list[int] = []

    def __call__(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray] | None = None
    ) -> list[People]:
        """See :class:`mmps.apis.network.Network`."""
        self.batches.append(len(images))
        if boxes is None:
            return [self._people(image) for image in images]
        return [self._embedded(*pair) for pair in zip(images, boxes, strict=True)]

    @staticmethod
    def _people(image: np.ndarray) -> People:
        seed = zlib.crc32(image.tobytes())
        rng, count = np.random.default_rng(seed), seed % 4
        height, width = image.shape[:2]
        corners = rng.uniform(0, 0.5, (count, 2)) * [width, height]
        boxes = np.concatenate([corners, corners + [width / 4, height / 2]], 1)
        scores = np.sort(rng.uniform(0.6, 1, count))[::-1]
        embeddings = _unit(rng.normal(size=(count, DIM)))
        return People(*(a.astype(np.float32) for a in (boxes, scores, embeddings)))

    @staticmethod
    def _embedded(image: np.ndarray, boxes: np.ndarray) -> People:
        rows = [
            np.random.default_rng(zlib.crc32(image.tobytes() + np.float32(box).tobytes())).normal(
                size=DIM
            )
            for box in boxes
        ]
        embeddings = _unit(np.array(rows).reshape(-1, DIM)).astype(np.float32)
        return People(np.asarray(boxes, np.float32), np.ones(len(boxes), np.float32), embeddings)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
