"""What a model found on a test set: arrays, and the ``.npz`` file that holds them."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from mmps.utils.files import whole_file
from mmps.utils.image_folder import difference, same_name

from .annotations import (
    SearchAnnotations,
    as_array,
    check_length,
    check_once,
    check_splits,
    gather_slices,
    splits_of,
)

BOX_TOLERANCE = 1.0
"""Pixels by which an annotated box or a query's may differ from the test set's."""

NORM_TOLERANCE = 1e-2
"""Largest |norm - 1| of an embedding; leaves room for embeddings computed in float16."""


_ARRAYS = {
    'image_splits': (np.int64,),
    'bboxes': (np.float32, (4,)),
    'scores': (np.float32,),
    'embeddings': (np.float32, (-1,)),
    'query_embeddings': (np.float32, (-1,)),
    'query_context_splits': (np.int64,),
    'query_context_embeddings': (np.float32, (-1,)),
    'gt_embeddings': (np.float32, (-1,)),
    'query_bboxes': (np.float32, (4,)),
    'scene_factors': (np.float32, (-1,)),
}
"""Types of the arrays, and their widths; -1: any."""


@dataclass(frozen=True)
class SearchPredictions:
    """Detections with embeddings, and one embedding per query.

    Example:
        >>> predictions = SearchPredictions(
        ...     image_names=('a.jpg', 'b.jpg'),
        ...     image_splits=np.array([0, 2, 2]),  # two people in a.jpg, nobody in b.jpg
        ...     bboxes=np.float32([[10, 20, 60, 170], [90, 20, 140, 170]]),
        ...     scores=np.float32([0.9, 0.5]),
        ...     embeddings=np.float32([[1, 0], [0, 1]]),
        ...     query_embeddings=np.float32([[1, 0]]),
        ... )
        >>> predictions.weighted_embeddings(True).tolist()
        [[0.8999999761581421, 0.0], [0.0, 0.5]]

    Attributes:
        image_names: I file names as the data set lists them; any order.
        image_splits: (I+1,) int64. Rows ``image_splits[i]:image_splits[i+1]`` belong to image i.
        bboxes: (N, 4) float32 xyxy in original pixels.
        scores: (N,) float32 detection scores.
        embeddings: (N, D) float32 of unit norm.
        query_embeddings: (Q, D) float32 of unit norm, in the data set's query order.
        query_context_splits: (Q+1,) int64, optional: rows of the next array for each query.
        query_context_embeddings: (M, D) float32, optional: people around each query, for context
            matching. The query itself is the first row of its slice.
        gt_embeddings: (G, D) float32, optional: one for each annotated box, in the order of
            ``SearchAnnotations.bboxes``, for the evaluation with ground-truth boxes.
        query_names: Q file names, optional: the image that each query was cut from.
        query_bboxes: (Q, 4) float32, optional: its box there, xyxy in original pixels. Both are
            compared with the data set's queries, so that another order is noticed.
        scene_factors: (Q, I) float32 in [0, 1], optional: by what a query's similarities to the
            detections of each image are multiplied.

    Raises:
        ValueError: Shapes disagree, values are not finite, a box has no area, or embeddings are
            not normalised.
    """

    image_names: tuple[str, ...]
    image_splits: np.ndarray
    bboxes: np.ndarray
    scores: np.ndarray
    embeddings: np.ndarray
    query_embeddings: np.ndarray
    query_context_splits: np.ndarray | None = None
    query_context_embeddings: np.ndarray | None = None
    gt_embeddings: np.ndarray | None = None
    query_names: tuple[str, ...] | None = None
    query_bboxes: np.ndarray | None = None
    scene_factors: np.ndarray | None = None

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        for name in ('image_names', 'query_names'):
            if getattr(self, name) is not None:
                set_field(self, name, _names(name, getattr(self, name)))
        for name, kind in _ARRAYS.items():
            if getattr(self, name) is not None:
                set_field(self, name, as_array(name, getattr(self, name), *kind))
        self._check_detections()
        self._check_embeddings()
        self._check_context()
        self._check_scenes()

    def weighted_embeddings(self, confidence_weighting: bool) -> np.ndarray:
        """(N, D) float32 embeddings, multiplied by the scores if ``confidence_weighting``."""
        return self.embeddings * self.scores[:, None] if confidence_weighting else self.embeddings

    def _check_detections(self) -> None:
        check_splits(
            'image_splits', self.image_splits, len(self.image_names), 'image', len(self.bboxes)
        )
        check_length('scores', self.scores, len(self.bboxes), 'row of bboxes')
        check_length('embeddings', self.embeddings, len(self.bboxes), 'row of bboxes')
        for name in ('bboxes', 'scores'):
            _check_finite(name, getattr(self, name))
        bad = (self.bboxes[:, 2:] <= self.bboxes[:, :2]).any(1)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            image = int(np.searchsorted(self.image_splits, row, 'right')) - 1
            raise ValueError(
                f'bboxes: row {row}, in {self.image_names[image]!r}, is '
                f'{self.bboxes[row].tolist()} ({int(bad.sum())} such rows); a box is x1, y1, x2, '
                'y2 in original pixels with x2 > x1 and y2 > y1, not x, y, width, height'
            )

    def _check_embeddings(self) -> None:
        width = self.query_embeddings.shape[1]
        for name in ('query_embeddings', 'embeddings', 'query_context_embeddings', 'gt_embeddings'):
            array = getattr(self, name)
            if array is None or not len(array):
                continue
            if array.shape[1] != width:
                raise ValueError(
                    f'{name}: {array.shape[1]} values per row, but query_embeddings has {width}; '
                    'write embeddings of one model'
                )
            _check_finite(name, array)
            norms = np.sqrt(np.einsum('nd,nd->n', array, array))
            bad = np.abs(norms - 1) > NORM_TOLERANCE
            if bad.any():
                row = int(np.flatnonzero(bad)[0])
                raise ValueError(
                    f'{name}: row {row} has norm {norms[row]:.4g} ({int(bad.sum())} such rows); '
                    'divide each row by its L2 norm before writing'
                )

    def _check_scenes(self) -> None:
        factors = self.scene_factors
        if factors is None:
            return
        wanted = len(self.query_embeddings), len(self.image_names)
        if factors.shape != wanted:
            raise ValueError(
                f'scene_factors: of shape {factors.shape}, but there are {wanted[0]} queries and '
                f'{wanted[1]} images'
            )
        if not ((factors >= 0) & (factors <= 1)).all():
            raise ValueError('scene_factors: values outside 0 to 1')

    def _check_context(self) -> None:
        splits, rows = self.query_context_splits, self.query_context_embeddings
        if (splits is None) != (rows is None):
            raise ValueError(
                'query_context_splits and query_context_embeddings belong together; '
                'write both or neither'
            )
        if splits is None or rows is None:
            return
        check_splits('query_context_splits', splits, len(self.query_embeddings), 'query', len(rows))
        if (np.diff(splits) < 1).any():
            row = int(np.flatnonzero(np.diff(splits) < 1)[0])
            raise ValueError(
                f'query_context_splits: query {row} has no row; '
                'the first row of every slice is the query itself'
            )


def align_predictions(
    predictions: SearchPredictions, annotations: SearchAnnotations
) -> SearchPredictions:
    """Put the images of ``predictions`` into the order of ``annotations``, of the same test set.

    Raises:
        ValueError: An image is missing, unknown or repeated, or the number of queries or of
            annotated boxes differs, or the queries are others or in another order.
    """
    _check_image_names(predictions.image_names, annotations.image_names)
    check_length('query_embeddings', predictions.query_embeddings, annotations.num_queries, 'query')
    _check_queries(predictions, annotations)
    if predictions.gt_embeddings is not None:
        check_length(
            'gt_embeddings', predictions.gt_embeddings, len(annotations.bboxes), 'annotated box'
        )
    if predictions.image_names == annotations.image_names:
        return predictions
    position = {name: i for i, name in enumerate(predictions.image_names)}
    order = np.array([position[name] for name in annotations.image_names], np.int64)
    images, rows = gather_slices(predictions.image_splits, order)
    factors = predictions.scene_factors
    return replace(
        predictions,
        image_names=annotations.image_names,
        image_splits=splits_of(images, len(order)),
        bboxes=predictions.bboxes[rows],
        scores=predictions.scores[rows],
        embeddings=predictions.embeddings[rows],
        scene_factors=factors if factors is None else factors[:, order],
    )


def _check_queries(predictions: SearchPredictions, annotations: SearchAnnotations) -> None:
    """Compare ``query_names`` and ``query_bboxes`` with the queries of the test set, in order."""
    number = annotations.num_queries
    wrong = np.zeros(number, bool)
    names = np.array(annotations.image_names, np.str_)[annotations.query_images]
    if predictions.query_names is not None:
        check_length('query_names', predictions.query_names, number, 'query')
        wrong |= names != np.array(predictions.query_names, np.str_)
    if predictions.query_bboxes is not None:
        check_length('query_bboxes', predictions.query_bboxes, number, 'query')
        apart = np.abs(predictions.query_bboxes - annotations.query_bboxes).max(1)
        wrong |= ~(apart <= BOX_TOLERANCE)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        given = [
            a[row] for a in (predictions.query_names, predictions.query_bboxes) if a is not None
        ]
        raise ValueError(
            f'query_names, query_bboxes: query {row} is {" ".join(map(str, given))}, but '
            f'{names[row]} {annotations.query_bboxes[row]} in the test set ({int(wrong.sum())} of '
            f'{number} differ); write the queries in its order'
        )


def with_ground_truth_boxes(
    annotations: SearchAnnotations, predictions: SearchPredictions
) -> SearchPredictions:
    """Replace the detections by the annotated boxes with score 1.

    Raises:
        ValueError: ``predictions.gt_embeddings`` is missing.
    """
    if predictions.gt_embeddings is None:
        raise ValueError('gt_embeddings: missing; write the embeddings of all annotated boxes')
    return replace(
        predictions,
        image_names=annotations.image_names,
        image_splits=annotations.box_splits,
        bboxes=annotations.bboxes,
        scores=np.ones(len(annotations.bboxes), np.float32),
        embeddings=predictions.gt_embeddings,
    )


def keep_confident(predictions: SearchPredictions, score_thr: float) -> SearchPredictions:
    """Drop detections with a score below ``score_thr``."""
    keep = predictions.scores >= score_thr
    if keep.all():
        return predictions
    kept_before = np.concatenate([[0], np.cumsum(keep)])
    return replace(
        predictions,
        image_splits=kept_before[predictions.image_splits],
        bboxes=predictions.bboxes[keep],
        scores=predictions.scores[keep],
        embeddings=predictions.embeddings[keep],
    )


def save_predictions(path: str | os.PathLike, predictions: SearchPredictions) -> None:
    """Write ``predictions`` to ``path`` (``.npz``) so that no reader ever sees half a file."""
    arrays = {name: value for name, value in vars(predictions).items() if value is not None}
    for name in {'image_names', 'query_names'} & arrays.keys():
        arrays[name] = np.array(arrays[name], dtype=np.str_)
    # given a path, numpy would add its own suffix to the temporary name
    with whole_file(path) as temporary, open(temporary, 'wb') as file:
        np.savez(file, **arrays)


def load_predictions(
    path: str | os.PathLike, annotations: SearchAnnotations | None = None
) -> SearchPredictions:
    """Read an ``.npz`` file of predictions, written by :func:`save_predictions` or anybody.

    Given annotations, the images are put into their order and checked against them.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Not a predictions file, or its content is wrong; the message names the file,
            the array and the fix.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such predictions file')
    try:
        predictions = SearchPredictions(**_read_arrays(path))
        return predictions if annotations is None else align_predictions(predictions, annotations)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    optional = {f.name: f.default is None for f in fields(SearchPredictions)}
    try:
        archive = np.load(path)
        names = archive.files
    except Exception:  # on damaged files zipfile and numpy raise a dozen types
        raise ValueError(
            'not an .npz file, or cut off while it was written; write it again'
        ) from None
    arrays = {}
    with archive:
        missing = [n for n, may in optional.items() if n not in names and not may]
        if missing:
            raise ValueError(f'array {missing[0]!r} is missing; the file holds {names}')
        for name in (name for name in optional if name in names):
            try:
                arrays[name] = archive[name]
            except Exception as error:
                raise ValueError(
                    f'{name}: cannot be read ({error}); write plain numeric or string arrays, '
                    'never pickled objects'
                ) from None
    return arrays


def _names(field: str, names: object) -> tuple[str, ...]:
    array = np.asarray(names)
    if array.ndim != 1 or (array.size and array.dtype.kind not in 'UT'):
        raise ValueError(
            f'{field}: {array.dtype} array of shape {array.shape} given, '
            'a list of file names expected'
        )
    return tuple(array.tolist())


def _check_finite(name: str, array: np.ndarray) -> None:
    bad = ~np.isfinite(array)
    if bad.any():
        row = int(np.argwhere(bad)[0][0])
        raise ValueError(f'{name}: row {row} holds NaN or infinity; write finite numbers only')


def _check_image_names(given: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    known, have = set(wanted), set(given)
    unknown = [name for name in given if name not in known]
    if unknown:
        alike = [name for name in wanted if same_name(name) == same_name(unknown[0])]
        if alike:
            raise ValueError(
                f'image_names: the test set lists {unknown[0]!r} as {alike[0]!r}, '
                f'{difference(unknown[0], alike[0]) or "with other separators"}; give names as it '
                'lists them'
            )
        raise ValueError(
            f'image_names: {unknown[0]!r} is not an image of this test set ({len(unknown)} such '
            f'names); its images are named like {"".join(wanted[:1])!r}'
        )
    missing = [name for name in wanted if name not in have]
    if missing:
        raise ValueError(
            f'image_names: {missing[0]!r} of the test set is missing ({len(missing)} such names); '
            'list every image, also those without detections'
        )
    check_once('image_names', given)
