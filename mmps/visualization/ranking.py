"""Ranking sheets: a query per row, and beside it the people found to be most similar."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from mmps.evaluation.functional.annotations import SearchAnnotations
from mmps.evaluation.functional.predictions import SearchPredictions
from mmps.evaluation.functional.top_matches import Match, top_matches

from .draw import (
    ACCENT,
    INK,
    MUTED,
    PAPER,
    RIGHT,
    RULE,
    WRONG,
    Colour,
    draw_tag,
    draw_text,
    outline,
    read_image,
    shorten,
    text_width,
    write_image,
)

MARGIN = 24
GAP = 10
QUERY_GAP = 34
HEADER = 62
CELL_WIDTH, CELL_HEIGHT = 116, 148
CAPTION = 40
ROW = CELL_HEIGHT + CAPTION + 14
BODY, SMALL = 13, 11


def save_ranking_sheets(
    annotations: SearchAnnotations,
    predictions: SearchPredictions,
    image_paths: Mapping[str, str | os.PathLike],
    folder: str | os.PathLike,
    *,
    queries: Iterable[int] | None = None,
    top_k: int = 8,
    rows_per_sheet: int = 8,
    **options,
) -> list[Path]:
    """Draw rankings of some queries, several to a sheet.

    Each row shows the query and its most similar detections, cut out of their scenes with some
    surroundings: green where the metric counts the detection as right, red where not.

    Args:
        annotations: Ground truth and protocol.
        predictions: Detections and embeddings of the same test set.
        image_paths: File of each image name.
        folder: Where to write ``rankings_00.png`` and so on.
        queries: Rows of the queries to draw. Default: 24, evenly spaced over all.
        top_k: Matches per query.
        rows_per_sheet: Queries per sheet.
        **options: Of the metric; see :func:`~mmps.evaluation.functional.top_matches.top_matches`.

    Returns:
        The files, in the order of the queries.
    """
    if queries is None:
        queries = spread(annotations.num_queries, 24)
    queries = list(queries)
    rankings = top_matches(annotations, predictions, queries, top_k, **options)
    files = []
    for start in tqdm(range(0, len(queries), rows_per_sheet), desc='ranking sheets', leave=False):
        chosen = slice(start, start + rows_per_sheet)
        sheet = draw_ranking_sheet(
            annotations, queries[chosen], rankings[chosen], image_paths, top_k
        )
        files.append(Path(folder, f'rankings_{len(files):02d}.png'))
        write_image(files[-1], sheet)
    return files


def spread(total: int, wanted: int) -> list[int]:
    """At most ``wanted`` different numbers of 0..total-1, evenly spaced."""
    return np.unique(np.linspace(0, total - 1, min(total, wanted)).round().astype(int)).tolist()


def draw_ranking_sheet(
    annotations: SearchAnnotations,
    queries: list[int],
    rankings: list[list[Match]],
    image_paths: Mapping[str, str | os.PathLike],
    top_k: int,
) -> np.ndarray:
    """Draw one sheet.

    Args:
        annotations: Ground truth and protocol.
        queries: Rows of the queries.
        rankings: The matches of each, best first.
        image_paths: File of each image name.
        top_k: Columns of matches.

    Returns:
        (h, w, 3) uint8 BGR.
    """
    width = 2 * MARGIN + CELL_WIDTH + QUERY_GAP + top_k * (CELL_WIDTH + GAP) - GAP
    sheet = np.full((HEADER + len(queries) * ROW, width, 3), PAPER, np.uint8)
    _draw_header(sheet)
    for row, (query, matches) in enumerate(zip(queries, rankings, strict=True)):
        band = sheet[HEADER + row * ROW : HEADER + (row + 1) * ROW]
        if row + 1 < len(queries):
            band[-14, MARGIN:-MARGIN] = RULE
        scene = _read_scene(annotations, image_paths, int(annotations.query_images[query]))
        title = f'person {annotations.query_person_ids[query]}'
        cell = band[:, MARGIN : MARGIN + CELL_WIDTH]
        _draw_cell(cell, scene, annotations.query_bboxes[query], ACCENT, title)
        for rank, match in enumerate(matches):
            colour = RIGHT if match.correct else WRONG
            left = MARGIN + CELL_WIDTH + QUERY_GAP + rank * (CELL_WIDTH + GAP)
            cell = band[:, left : left + CELL_WIDTH]
            scene = _read_scene(annotations, image_paths, match.image)
            _draw_cell(cell, scene, match.bbox, colour, f'{match.similarity:.2f}')
            draw_tag(cell, str(rank + 1), 0, 0, colour)
    return sheet


@dataclass(frozen=True)
class _Scene:
    name: str
    camera: int
    pixels: np.ndarray


def _read_scene(
    annotations: SearchAnnotations, image_paths: Mapping[str, str | os.PathLike], image: int
) -> _Scene:
    name = annotations.image_names[image]
    if name not in image_paths:
        raise ValueError(f'image_paths: no file given for image {name!r}')
    return _Scene(name, int(annotations.cameras[image]), read_image(image_paths[name]))


def _draw_header(sheet: np.ndarray) -> None:
    baseline = HEADER - 22
    draw_text(sheet, 'Query', MARGIN, baseline, 17, INK, bold=True)
    left = MARGIN + CELL_WIDTH + QUERY_GAP
    draw_text(sheet, 'Most similar people in the gallery', left, baseline, 17, INK, bold=True)
    right = sheet.shape[1] - MARGIN
    for label, colour in (('somebody else', WRONG), ('same person', RIGHT)):
        right -= text_width(label, BODY)
        draw_text(sheet, label, right, baseline, BODY, MUTED)
        right -= 18
        cv2.rectangle(sheet, (right, baseline - 11), (right + 11, baseline), colour, -1)
        right -= 18


def _draw_cell(
    cell: np.ndarray, scene: _Scene, bbox: np.ndarray, colour: Colour, title: str
) -> None:
    """Draw a person in their surroundings, and the caption below, into a part of the sheet."""
    picture = cell[:CELL_HEIGHT]
    picture[:], box = crop_in_context(scene.pixels, bbox, CELL_WIDTH, CELL_HEIGHT)
    outline(picture, box, colour)
    outline(picture, (0, 0, CELL_WIDTH, CELL_HEIGHT), colour)
    baseline = CELL_HEIGHT + 17
    draw_text(cell, title, 0, baseline, BODY, INK, bold=True)
    if scene.camera >= 0:
        camera = f'cam {scene.camera}'
        left = CELL_WIDTH - text_width(camera, SMALL)
        draw_text(cell, camera, left, baseline, SMALL, MUTED)
    name = shorten(Path(scene.name).stem, CELL_WIDTH, SMALL)
    draw_text(cell, name, 0, baseline + 15, SMALL, MUTED)


def crop_in_context(
    image: np.ndarray, bbox: np.ndarray, width: int, height: int, margin: float = 0.16
) -> tuple[np.ndarray, np.ndarray]:
    """Cut a person out of a scene, with surroundings that are paler than the person.

    The cut has the shape asked for and stays inside the image where the image is large enough.

    Args:
        image: (h, w, 3) uint8.
        bbox: (4,) xyxy in pixels of ``image``.
        width: Of the result.
        height: Of the result.
        margin: Least surroundings on each side, as a share of the box.

    Returns:
        (height, width, 3) uint8, and the box in it (4,).
    """
    x1, y1, x2, y2 = (float(value) for value in bbox)
    scale = min(width / (x2 - x1), height / (y2 - y1)) / (1 + 2 * margin)
    size = np.array([width, height]) / scale
    limit = np.array([image.shape[1], image.shape[0]]) - size
    corner = np.array([x1 + x2, y1 + y2]) / 2 - size / 2
    corner = np.where(limit >= 0, np.clip(corner, 0, limit), limit / 2)
    box = (np.array([x1, y1, x2, y2]) - np.tile(corner, 2)) * scale
    crop = _resample(image, corner, scale, width, height)
    pale = cv2.addWeighted(crop, 0.62, np.full_like(crop, 255), 0.38, 0)
    a, b, c, d = np.clip(np.round(box), 0, [width, height, width, height]).astype(int)
    pale[b:d, a:c] = crop[b:d, a:c]
    return pale, box


def _resample(
    image: np.ndarray, corner: np.ndarray, scale: float, width: int, height: int
) -> np.ndarray:
    """The part of ``image`` that starts at ``corner``, enlarged or reduced by ``scale``."""
    if scale < 1:  # average over the pixels that fall together, or fine patterns turn into moire
        shape = (round(image.shape[1] * scale), round(image.shape[0] * scale))
        image = cv2.resize(image, shape, interpolation=cv2.INTER_AREA)
        corner, scale = corner * scale, 1.0
    # pixel centres stand at half-integers of the box coordinates
    shift = (0.5 - corner) * scale - 0.5
    crop = cv2.warpAffine(
        image,
        np.array([[scale, 0, shift[0]], [0, scale, shift[1]]]),
        (width, height),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    a, b = np.round(-corner * scale).astype(int).clip(0)
    c, d = np.round((np.array([image.shape[1], image.shape[0]]) - corner) * scale).astype(int)
    crop[:b] = crop[d:] = RULE
    crop[:, :a] = crop[:, c:] = RULE
    return crop
