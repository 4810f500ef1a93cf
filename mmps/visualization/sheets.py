"""Sheets of people: hits, rankings, similarities and attention; and a hit in its scene."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from mmps.evaluation.functional.annotations import SearchAnnotations
from mmps.evaluation.functional.predictions import SearchPredictions
from mmps.evaluation.functional.search import Match, top_matches

from .draw import (
    ACCENT,
    AGAIN,
    BODY,
    CAPTION,
    CELL_HEIGHT,
    CELL_WIDTH,
    INK,
    LINE,
    MUTED,
    PAPER,
    RIGHT,
    RULE,
    WRONG,
    Cell,
    Colour,
    crop_in_context,
    draw_cell,
    draw_tag,
    draw_text,
    inside,
    outline,
    read_image,
    text_width,
    write_image,
)

MARGIN = 24
GAP = 10
QUERY_GAP = 34
FIRST = MARGIN + CELL_WIDTH + QUERY_GAP
"""Left edge of the first hit."""
HEADER = 62
RANKING_ROW = CELL_HEIGHT + CAPTION + 14
HITS_ROW = RANKING_ROW + LINE
_PALE = 0.45
"""What is left of the pictures below the line."""
_OF_PERSON = 7
"""Squares across what is left of a blurred person: a face is about one of them."""
_OF_MATCH, _OF_SCENE = 3, 48
"""Squares across what is left of somebody undetected who is as wide as the match; at most across
the scene."""


def draw_hits(
    query: Cell,
    hits: Sequence[Cell],
    columns: int = 8,
    *,
    above: int | None = None,
    note: str = '',
) -> np.ndarray:
    """Draw a sheet: the query on the left, what was found beside it, best first, in rows.

    Args:
        columns: Hits per row.
        above: How many hits are above the line; it is drawn, and those below are paler. None:
            nobody says.
        note: To stand below the title.

    Returns:
        (h, w, 3) uint8 BGR.
    """
    rows = max(1, -(-len(hits) // columns))
    title = 'Most similar people in the gallery' if hits else 'Nobody found'
    sheet = _empty_sheet(rows * HITS_ROW, columns, title, raised=9 if note else 0)
    draw_text(sheet, note, FIRST, HEADER - 10, BODY, MUTED)
    draw_cell(sheet[HEADER : HEADER + HITS_ROW, MARGIN : MARGIN + CELL_WIDTH], query, ACCENT)
    for rank, hit in enumerate(hits):
        top = HEADER + rank // columns * HITS_ROW
        left = FIRST + rank % columns * (CELL_WIDTH + GAP)
        canvas = sheet[top : top + HITS_ROW, left : left + CELL_WIDTH]
        draw_cell(canvas, hit, MUTED)
        draw_tag(canvas, str(rank + 1), 0, 0, MUTED)
        if above is not None and rank >= above:
            picture = canvas[1 : CELL_HEIGHT - 1, 1 : CELL_WIDTH - 1]
            picture[:] = cv2.addWeighted(picture, _PALE, np.full_like(picture, 255), 1 - _PALE, 0)
        if rank == above:
            bar = sheet[top - 3 : top + HITS_ROW - 14, left - GAP // 2 - 2 : left - GAP // 2 + 2]
            bar[:] = ACCENT
    return sheet


def _empty_sheet(height: int, columns: int, title: str, raised: int = 0) -> np.ndarray:
    """A sheet with the header alone: a query on the left, and so many columns of hits."""
    width = FIRST + columns * (CELL_WIDTH + GAP) - GAP + MARGIN
    sheet = np.full((HEADER + height, width, 3), PAPER, np.uint8)
    draw_text(sheet, 'Query', MARGIN, HEADER - 22, 17, INK, bold=True)
    draw_text(sheet, title, FIRST, HEADER - 22 - raised, 17, INK, bold=True)
    return sheet


def draw_match(scene: np.ndarray, bbox: np.ndarray, label: str) -> np.ndarray:
    """A copy of a scene (h, w, 3) uint8 with one person outlined, xyxy, and a label on the box."""
    canvas = np.ascontiguousarray(scene).copy()
    outline(canvas, bbox, ACCENT, thickness=max(2, round(min(canvas.shape[:2]) / 250)))
    draw_tag(canvas, label, bbox[0], bbox[1] - 18 if bbox[1] >= 18 else bbox[1], ACCENT)
    return canvas


def blur_others(
    scene: np.ndarray, keep: np.ndarray, people: np.ndarray | Sequence = (), margin: float = 0.1
) -> np.ndarray:
    """A copy of a scene in which nobody but one person can be recognised.

    Of everything else the means of coarse squares are left, which nothing undoes, and drawn so
    that they blend into each other: detectors miss people. Who is known to be there may be nearer
    to the camera, and is reduced to squares of their own.

    Args:
        scene: (h, w, 3) uint8.
        keep: (4,) xyxy; what is in this box stays sharp.
        people: (n, 4) xyxy of others.
        margin: By what share of their sides the boxes of others are enlarged.
    """
    canvas = np.ascontiguousarray(scene).copy()
    share = max(1.0, keep[2] - keep[0]) / scene.shape[1]
    _reduce(canvas, int(np.clip(_OF_MATCH / share, _OF_PERSON, _OF_SCENE)))
    for bbox in np.asarray(people, np.float64).reshape(-1, 4):
        sides = np.tile(bbox[2:] - bbox[:2], 2)
        _reduce(inside(canvas, bbox + margin * sides * [-1, -1, 1, 1]), _OF_PERSON)
    inside(canvas, keep)[:] = inside(scene, keep)
    return canvas


def _reduce(part: np.ndarray, squares: int) -> None:
    height, width = part.shape[:2]
    if not part.size:
        return
    columns = min(squares, width)
    rows = max(1, round(columns * height / width))
    few = cv2.resize(part, (columns, min(rows, height)), interpolation=cv2.INTER_AREA)
    part[:] = cv2.resize(few, (width, height), interpolation=cv2.INTER_LINEAR)


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
    """Draw rankings of some queries, several to a sheet, and list the files.

    Each row shows the query and its most similar detections, cut out of their scenes with some
    surroundings: green where the metric counts the detection as right, red where not, amber where
    it is the person all the same, found a second time in a scene.

    Args:
        image_paths: File of each image name.
        folder: Where to write ``rankings_00.png`` and so on.
        queries: Rows of the queries to draw. Default: 24, evenly spaced over all.
        top_k: Matches per query.
        rows_per_sheet: Queries per sheet.
        **options: Of the metric; see :func:`~mmps.evaluation.functional.search.top_matches`.
    """
    if queries is None:
        queries = spread(annotations.num_queries, 24)
    queries = list(queries)
    rankings = top_matches(annotations, predictions, queries, top_k, **options)
    remove_pictures(folder, 'rankings_*.png')
    files = []
    for start in tqdm(range(0, len(queries), rows_per_sheet), desc='ranking sheets', leave=False):
        chosen = slice(start, start + rows_per_sheet)
        sheet = draw_ranking_sheet(
            annotations, queries[chosen], rankings[chosen], image_paths, top_k
        )
        files.append(Path(folder, f'rankings_{len(files):02d}.png'))
        write_image(files[-1], sheet)
    return files


def remove_pictures(folder: str | os.PathLike, *patterns: str) -> None:
    """Remove what an earlier run drew into a folder, for it may have drawn more."""
    for pattern in patterns:
        for path in Path(folder).glob(pattern):
            if re.fullmatch(r'\w+_\d+', path.stem):
                path.unlink()


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
    """Draw one sheet, (h, w, 3) uint8 BGR, of rankings that
    :func:`~mmps.evaluation.functional.search.top_matches` found; arguments as of
    :func:`save_ranking_sheets`.
    """
    title = 'Most similar people in the gallery'
    # in fewer columns the legend would lie on the title
    sheet = _empty_sheet(len(queries) * RANKING_ROW, max(6, top_k), title)
    _draw_legend(sheet)
    for row, (query, matches) in enumerate(zip(queries, rankings, strict=True)):
        band = sheet[HEADER + row * RANKING_ROW : HEADER + (row + 1) * RANKING_ROW]
        if row + 1 < len(queries):
            band[-14, MARGIN:-MARGIN] = RULE
        image, bbox = int(annotations.query_images[query]), annotations.query_bboxes[query]
        title = f'person {annotations.query_person_ids[query]}'
        cell = _cell(annotations, image_paths, image, bbox, title)
        draw_cell(band[:, MARGIN : MARGIN + CELL_WIDTH], cell, ACCENT)
        if not matches:
            draw_text(band, 'nobody was found', FIRST, CELL_HEIGHT // 2, BODY, MUTED)
        for rank, match in enumerate(matches):
            colour = RIGHT if match.correct else AGAIN if match.again else WRONG
            left = FIRST + rank * (CELL_WIDTH + GAP)
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


def _draw_legend(sheet: np.ndarray) -> None:
    right, baseline = sheet.shape[1] - MARGIN, HEADER - 22
    labels = (
        ('somebody else', WRONG),
        ('same person twice in a scene', AGAIN),
        ('same person', RIGHT),
    )
    for label, colour in labels:
        right -= text_width(label, BODY)
        draw_text(sheet, label, right, baseline, BODY, MUTED)
        right -= 18
        cv2.rectangle(sheet, (right, baseline - 11), (right + 11, baseline), colour, -1)
        right -= 18


MATRIX_HEADER = 46
NUMBERS = 18
"""Room for the numbers of people beside a similarity matrix."""
SMALL_WIDTH, SMALL_HEIGHT = 64, 80
DISSIMILAR: Colour = (252, 248, 246)
SIMILAR: Colour = (130, 50, 16)


def draw_similarity_matrix(
    people: Sequence[tuple[np.ndarray, np.ndarray]], embeddings: np.ndarray
) -> np.ndarray:
    """Draw people along both sides and their similarities between them.

    Args:
        people: The scene (h, w, 3) uint8 BGR of each, and their box (4,) xyxy in it.
        embeddings: (n, D) float32 of unit norm.

    Returns:
        (h, w, 3) uint8 BGR. Darker is more similar; 0 and less is white.
    """
    similarities = embeddings @ embeddings.T
    count, side = len(people), SMALL_HEIGHT + 4
    left, top = MARGIN + NUMBERS + SMALL_WIDTH + 10, MATRIX_HEADER + side + NUMBERS + 8
    shape = (top + count * side + MARGIN, max(460, left + count * side + MARGIN), 3)
    sheet = np.full(shape, PAPER, np.uint8)
    draw_text(sheet, 'Similarity of embeddings', MARGIN, 30, 17, INK, bold=True)
    for number, (scene, bbox) in enumerate(people):
        crop, _ = crop_in_context(scene, bbox, SMALL_WIDTH, SMALL_HEIGHT, margin=0.06)
        y, x = top + number * side, left + number * side
        centre = x + (side - SMALL_WIDTH) // 2
        sheet[y : y + SMALL_HEIGHT, left - 10 - SMALL_WIDTH : left - 10] = crop
        sheet[top - 8 - SMALL_HEIGHT : top - 8, centre : centre + SMALL_WIDTH] = crop
        label = str(number + 1)
        draw_text(sheet, label, MARGIN - 6, y + side / 2 + 4, 13, MUTED, bold=True)
        middle = x + (side - text_width(label, 13)) / 2
        draw_text(sheet, label, middle, top - 14 - SMALL_HEIGHT, 13, MUTED, bold=True)
        for other in range(count):
            _draw_square(sheet, left + other * side, y, side, float(similarities[number, other]))
    return sheet


def _draw_square(sheet: np.ndarray, left: int, top: int, side: int, similarity: float) -> None:
    share = min(1.0, max(0.0, similarity))
    ends = zip(DISSIMILAR, SIMILAR, strict=True)
    colour = tuple(round(low + share * (high - low)) for low, high in ends)
    cv2.rectangle(sheet, (left, top), (left + side - 3, top + side - 3), colour, cv2.FILLED)
    text = f'{round(similarity, 2) + 0.0:.2f}'  # no -0.00
    middle = left + (side - 3 - text_width(text, 15)) / 2
    draw_text(sheet, text, middle, top + side / 2 + 4, 15, PAPER if share > 0.45 else INK)


ATTENTION_HEADER = 82
LARGE_WIDTH, LARGE_HEIGHT = 148, 220


def draw_attention(
    people: Sequence[tuple[np.ndarray, np.ndarray]], masks: np.ndarray, title: str
) -> np.ndarray:
    """Draw people, each beside what the mask makes of them.

    Args:
        people: The scene (h, w, 3) uint8 BGR of each, and their box (4,) xyxy in it.
        masks: (n, h, w) in 0..1, each over the box.
        title: What attention it is.

    Returns:
        (h, w, 3) uint8 BGR. Of each person, the brightest place is where their own mask is
        largest, the darkest where it is smallest: the numbers below say how large that is.
    """
    columns = min(4, max(1, len(people)))
    rows = -(-len(people) // columns)
    gap, row = 14, LARGE_HEIGHT + 42
    pair = 2 * LARGE_WIDTH + 4
    width = max(560, 2 * MARGIN + columns * (pair + gap) - gap)
    sheet = np.full((ATTENTION_HEADER + rows * row + 10, width, 3), PAPER, np.uint8)
    draw_text(sheet, title, MARGIN, 34, 17, INK, bold=True)
    note = 'dark: held back, bright: let through; the scale is that of each person, see below them'
    draw_text(sheet, note, MARGIN, 58, 13, MUTED)
    for number, ((scene, bbox), mask) in enumerate(zip(people, masks, strict=True)):
        top = ATTENTION_HEADER + number // columns * row
        left = MARGIN + number % columns * (pair + gap)
        crop, box = crop_in_context(scene, bbox, LARGE_WIDTH, LARGE_HEIGHT)
        covered = _covered(crop, box, mask)
        for x, picture in ((left, crop), (left + LARGE_WIDTH + 4, covered)):
            outline(picture, box, ACCENT)
            sheet[top : top + LARGE_HEIGHT, x : x + LARGE_WIDTH] = picture
        draw_tag(sheet, str(number + 1), left, top, MUTED)
        text = f'mask {mask.min():.2f} to {mask.max():.2f}, mean {mask.mean():.2f}'
        draw_text(sheet, text, left, top + LARGE_HEIGHT + 17, 13, INK)
    return sheet


def _covered(crop: np.ndarray, box: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A copy of a crop with colours over the box (4,) xyxy: its grey shades stay recognisable."""
    covered = crop.copy()
    part = inside(covered, box)
    if not part.size:
        return covered
    spread = max(float(np.ptp(mask)), 1e-6)
    shades = np.round(255 * (mask - mask.min()) / spread).astype(np.uint8)
    shades = cv2.resize(shades, part.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap(shades, cv2.COLORMAP_INFERNO)
    grey = cv2.cvtColor(cv2.cvtColor(part, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    part[:] = cv2.addWeighted(grey, 0.4, colours, 0.6, 0)
    return covered
