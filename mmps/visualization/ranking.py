"""Ranking sheets: a query per row, and beside it the people found to be most similar."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from mmps.evaluation.functional.annotations import SearchAnnotations
from mmps.evaluation.functional.predictions import SearchPredictions
from mmps.evaluation.functional.search import Match, top_matches

from .cell import BODY, CAPTION, CELL_HEIGHT, CELL_WIDTH, Cell, draw_cell
from .draw import (
    ACCENT,
    INK,
    MUTED,
    PAPER,
    RIGHT,
    RULE,
    WRONG,
    draw_tag,
    draw_text,
    read_image,
    text_width,
    write_image,
)

MARGIN = 24
GAP = 10
QUERY_GAP = 34
HEADER = 62
ROW = CELL_HEIGHT + CAPTION + 14


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
        **options: Of the metric; see :func:`~mmps.evaluation.functional.search.top_matches`.

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
        image, bbox = int(annotations.query_images[query]), annotations.query_bboxes[query]
        title = f'person {annotations.query_person_ids[query]}'
        cell = _cell(annotations, image_paths, image, bbox, title)
        draw_cell(band[:, MARGIN : MARGIN + CELL_WIDTH], cell, ACCENT)
        if not matches:
            left = MARGIN + CELL_WIDTH + QUERY_GAP
            draw_text(band, 'nobody was found', left, CELL_HEIGHT // 2, BODY, MUTED)
        for rank, match in enumerate(matches):
            colour = RIGHT if match.correct else WRONG
            left = MARGIN + CELL_WIDTH + QUERY_GAP + rank * (CELL_WIDTH + GAP)
            canvas, title = band[:, left : left + CELL_WIDTH], f'{match.similarity:.2f}'
            cell = _cell(annotations, image_paths, match.image, match.bbox, title)
            draw_cell(canvas, cell, colour)
            draw_tag(canvas, str(rank + 1), 0, 0, colour)
    return sheet


def _cell(
    annotations: SearchAnnotations,
    image_paths: Mapping[str, str | os.PathLike],
    image: int,
    bbox: np.ndarray,
    title: str,
) -> Cell:
    name, camera = annotations.image_names[image], int(annotations.cameras[image])
    if name not in image_paths:
        raise ValueError(f'image_paths: no file given for image {name!r}')
    corner = f'cam {camera}' if camera >= 0 else ''
    return Cell(read_image(image_paths[name]), bbox, title, corner, [Path(name).stem])


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
