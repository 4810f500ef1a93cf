"""Whether an exported file finds and embeds the people that PyTorch finds and embeds."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

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
    """The largest differences from PyTorch: ``pixels`` of the original image between corners of a
    box, and of a ``score``; the least ``cosine`` of the embeddings of a person, and of those of
    given boxes.
    """

    images: int
    people: int  # found by PyTorch
    unmatched: int  # found by one alone, box by box within NEAR pixels
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
    """Parts of the images of other sizes, in batches of other sizes."""
    parts = iter(
        np.ascontiguousarray(image[: round(len(image) * high), : round(image.shape[1] * wide)])
        for image, (wide, high) in zip(images, cycle(SHARES), strict=False)
    )
    for size in cycle(BATCHES):
        if not (batch := list(islice(parts, size))):
            return
        yield batch


def _matched(one: InstanceData, other: InstanceData) -> Iterator[tuple[float, float, float]]:
    """Differences in pixels, score and cosine of people found by both."""
    apart = (one.bboxes[:, None] - other.bboxes).abs().amax(2)
    cosines = _cosines(one.embeddings[:, None], other.embeddings)
    for pair in zip(*linear_sum_assignment(apart.numpy()), strict=True):
        if apart[pair] <= NEAR:
            score = one.scores[pair[0]] - other.scores[pair[1]]
            yield apart[pair].item(), score.abs().item(), cosines[pair].item()


def _cosines(one: Tensor, other: Tensor) -> Tensor:
    return (one.double() * other.double()).sum(-1)
