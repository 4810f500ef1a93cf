"""Whether an exported file finds and embeds the people that PyTorch finds and embeds."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from mmengine.structures import InstanceData
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from mmps.deployment.exported_model import Preprocess
from mmps.utils.errors import UserError

BATCHES = (1, 2, 3)
"""Images that are run together, in turn."""
SHARES = ((1.0, 1.0), (0.7, 1.0), (1.0, 0.6))
"""Of an image's width and height that are taken, in turn, so that sizes differ."""
GIVEN = ((0.1, 0.1, 0.4, 0.9), (0.5, 0.2, 0.8, 1.0))
"""Boxes that are embedded beside those that are found, in shares of width and height."""


@dataclass(frozen=True)
class Parity:
    """The largest differences from PyTorch.

    Attributes:
        images: Images compared.
        people: People found in them by PyTorch.
        unmatched: People of either whom the other has not, box by box within :data:`NEAR` pixels.
        pixels: Of a corner of a box, in pixels of the original image.
        score: Of a score.
        cosine: Least cosine of the embeddings of a person.
        given_cosine: The same for given boxes.
    """

    images: int
    people: int
    unmatched: int
    pixels: float
    score: float
    cosine: float
    given_cosine: float

    def require(self, pixels: float = 0.5, cosine: float = 0.9999) -> None:
        """Raise `UserError` unless both find the same people, alike to this degree."""
        if not self.people:
            raise UserError(
                f'nobody was found in the {self.images} images, so there is nothing to compare; '
                'give images with people, --images'
            )
        alike = self.pixels <= pixels and min(self.cosine, self.given_cosine) >= cosine
        if self.unmatched or not alike:
            raise UserError(
                f'the exported model differs from PyTorch: {self}; allowed are boxes within '
                f'{pixels} pixels and cosines from {cosine}. The file was not kept'
            )

    def __str__(self) -> str:
        return (
            f'{self.people} people in {self.images} images, {self.unmatched} unmatched, boxes '
            f'within {self.pixels:.2g} pixels, scores within {self.score:.2g}, cosine of '
            f'embeddings at least {self.cosine:.6f}, of given boxes {self.given_cosine:.6f}'
        )


NEAR = 20.0
"""Pixels by which boxes of one person may differ at most to be compared."""


@torch.no_grad()
def compare(
    model: nn.Module,
    exported: nn.Module,
    preprocess: Preprocess,
    images: Sequence[np.ndarray],
) -> Parity:
    """Run both on images (h, w, 3) uint8 BGR, whole and in parts, alone and in batches."""
    people = unmatched = 0
    differences: list[tuple[float, float, float]] = [(0.0, 0.0, 1.0)]
    given_cosine = 1.0
    for batch in _batches(images):
        boxes = [np.float32(GIVEN) * np.tile(image.shape[1::-1], 2) for image in batch]
        inputs = preprocess(batch, boxes)
        networks = (model, exported)
        ours, theirs = (network.test_step(copy.deepcopy(inputs)) for network in networks)
        for one, other in zip(ours, theirs, strict=True):
            given = one.query_instances.embeddings, other.query_instances.embeddings
            given_cosine = min(given_cosine, _cosines(*given).min().item())
            people += len(one.pred_instances)
            matched = list(_matched(one.pred_instances, other.pred_instances))
            differences += matched
            unmatched += len(one.pred_instances) + len(other.pred_instances) - 2 * len(matched)
    pixels, scores, cosines = zip(*differences, strict=True)
    worst = max(pixels), max(scores), min(cosines)
    return Parity(len(images), people, unmatched, *worst, given_cosine)


def _batches(images: Sequence[np.ndarray]) -> Iterator[list[np.ndarray]]:
    start = turn = 0
    while start < len(images):
        batch = []
        for offset, image in enumerate(images[start : start + BATCHES[turn % len(BATCHES)]]):
            width, height = SHARES[(start + offset) % len(SHARES)]
            rows, columns = round(image.shape[0] * height), round(image.shape[1] * width)
            batch.append(np.ascontiguousarray(image[:rows, :columns]))
        yield batch
        start, turn = start + len(batch), turn + 1


def _matched(one: InstanceData, other: InstanceData) -> Iterator[tuple[float, float, float]]:
    """Differences in pixels, score and cosine of people found by both."""
    apart = (one.bboxes[:, None] - other.bboxes).abs().amax(2)
    for i, j in zip(*linear_sum_assignment(apart.numpy()), strict=True):
        if apart[i, j] <= NEAR:
            yield (
                apart[i, j].item(),
                (one.scores[i] - other.scores[j]).abs().item(),
                _cosines(one.embeddings[i], other.embeddings[j]).item(),
            )


def _cosines(one: Tensor, other: Tensor) -> Tensor:
    return (one.double() * other.double()).sum(-1)
