"""A scene image with its people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .draw import draw_tag, identity_colour, outline, tag_size
from .labels import place_labels


def draw_people(
    image: np.ndarray,
    bboxes: np.ndarray,
    person_ids: Sequence[int],
    labels: Sequence[str] | None = None,
) -> np.ndarray:
    """Outline people and tag each with their id, where it hides neither other tags nor people.

    Args:
        image: (h, w, 3) uint8 BGR.
        bboxes: (n, 4) xyxy in pixels of ``image``.
        person_ids: n ids; negative: an unlabelled person, drawn grey.
        labels: n texts to show in place of the ids.

    Returns:
        A new image of the same shape.
    """
    canvas = np.ascontiguousarray(image).copy()
    if labels is None:
        labels = [str(person) if person >= 0 else 'unlabelled' for person in person_ids]
    colours = [identity_colour(int(person)) for person in person_ids]
    for bbox, colour in zip(bboxes, colours, strict=True):
        outline(canvas, bbox, colour)
    places = place_labels(bboxes, [tag_size(label) for label in labels], canvas.shape[1::-1])
    for place, label, colour in zip(places, labels, colours, strict=True):
        draw_tag(canvas, label, place.left, place.top, colour)
    return canvas


def draw_packed(packed: Mapping[str, Any], original_pixels: bool) -> np.ndarray:
    """Draw what a pipeline hands to the model.

    Args:
        packed: ``inputs``, a (3, h, w) uint8 tensor in BGR order, and ``data_samples``.
        original_pixels: Whether the annotated boxes are in the pixels of the file, as in testing,
            and not in those of ``inputs``.

    Returns:
        (h, w, 3) uint8 BGR.
    """
    sample = packed['data_samples']
    bboxes = sample.gt_instances.bboxes
    bboxes = np.asarray(getattr(bboxes, 'tensor', bboxes), np.float32)
    if original_pixels:
        bboxes = bboxes * np.tile(np.asarray(sample.scale_factor, np.float32), 2)
    image = packed['inputs'].permute(1, 2, 0).numpy()
    return draw_people(image, bboxes, sample.gt_instances.person_ids.tolist())
