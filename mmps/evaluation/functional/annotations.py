"""Ground truth and protocol of a person-search test set, as plain arrays.

Groups of unequal length, such as the boxes of each image, are slices of one array: group k owns
rows ``splits[k]:splits[k+1]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

UNLABELLED = -1
"""Person id of somebody whose identity nobody annotated."""


def as_array(name: str, value: object, dtype: type, tail: tuple[int, ...] = ()) -> np.ndarray:
    """``value``, called ``name`` in messages, as an array of shape ``(n, *tail)``.

    An empty sequence becomes ``(0, *tail)``; -1 in ``tail`` matches any length.

    Raises:
        ValueError: Not numeric, or of another shape; or fractions where integers are wanted.
    """
    try:
        array = np.asarray(value)
        if array.size == 0 and array.ndim <= 1:
            array = array.reshape(0, *(max(n, 0) for n in tail))
        elif np.issubdtype(dtype, np.integer) and not np.issubdtype(array.dtype, np.integer):
            raise ValueError(f'holds {array.dtype} values')
        array = np.ascontiguousarray(array, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{name}: cannot be read as {np.dtype(dtype)} array: {error}') from None
    fits = array.ndim == len(tail) + 1 and all(
        want in (-1, have) for want, have in zip(tail, array.shape[1:], strict=True)
    )
    if not fits:
        want = ', '.join(['n', *('D' if n == -1 else str(n) for n in tail)])
        raise ValueError(f'{name}: shape {array.shape} given, ({want}) expected')
    return array


def check_length(name: str, array: np.ndarray, length: int, of: str) -> None:
    """Raise ``ValueError`` unless ``array`` has one row for each of ``length`` things."""
    if len(array) != length:
        raise ValueError(f'{name}: {len(array)} rows given, {length} expected (one per {of})')


def check_once(name: str, values: Sequence[str]) -> None:
    """Raise ``ValueError`` naming the first of the images that is listed again."""
    if len(set(values)) < len(values):
        twice = next(value for i, value in enumerate(values) if value in values[:i])
        raise ValueError(f'{name}: {twice!r} occurs more than once; list each image once')


def check_splits(name: str, splits: np.ndarray, groups: int, of: str, rows: int) -> None:
    """Raise ``ValueError`` unless ``splits`` cuts ``rows`` rows into ``groups`` ordered slices."""
    check_length(name, splits, groups + 1, f'{of}, and one')
    if splits[0] != 0 or splits[-1] != rows or (np.diff(splits) < 0).any():
        raise ValueError(
            f'{name}: must start at 0, never decrease and end at the number of rows ({rows}); '
            f'it starts at {splits[0]} and ends at {splits[-1]}'
        )


def check_boxes(name: str, bboxes: np.ndarray) -> None:
    """Raise ``ValueError`` naming the first row that is not a finite box with x1 < x2, y1 < y2."""
    bad = ~np.isfinite(bboxes).all(1) | (bboxes[:, 2:] <= bboxes[:, :2]).any(1)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f'{name}: row {row} is {bboxes[row].tolist()}; a box is [x1, y1, x2, y2] in pixels '
            f'with x1 < x2 and y1 < y2 ({int(bad.sum())} such rows)'
        )


def check_indices(name: str, indices: np.ndarray, size: int, of: str) -> None:
    """Raise ``ValueError`` naming the first index outside ``0..size-1``."""
    bad = (indices < 0) | (indices >= size)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(f'{name}: row {row} is {indices[row]}, but there are {size} {of}')


@dataclass(frozen=True)
class SearchGalleries:
    """Explicit searches, each a query and the images it is searched in.

    CUHK-SYSU's ``TestG{n}`` files list one gallery per query; its subsets search some of the
    queries only, and CUHK03's classic protocol searches every query several times.

    Example:
        >>> from dataclasses import replace
        >>> from mmps.evaluation.functional import evaluate_search
        >>> from mmps.testing.search import tiny_test_set
        >>> annotations, predictions = tiny_test_set()
        >>> box = annotations.query_bboxes[:1]
        >>> gallery = SearchGalleries(  # the first query in the second image, which shows them
        ...     splits=np.array([0, 1]), images=np.array([1]), positives=np.array([0]), bboxes=box
        ... )
        >>> annotations = replace(annotations, galleries={'second': gallery})
        >>> evaluate_search(annotations, predictions, gallery_size='second')['mAP']
        1.0

    Attributes:
        splits: (S+1,) int64. Entries ``splits[s]:splits[s+1]`` belong to search s.
        images: (M,) int32. Index into ``SearchAnnotations.image_names``; may repeat in a gallery.
        positives: (P,) int64, ascending. Entries, i.e. rows of ``images``, that show the person.
        bboxes: (P, 4) float32 xyxy in original pixels. Box of the query's person in each of them.
        queries: (S,) int64 query of each search. None: one search for each query, in order.

    Raises:
        ValueError: The arrays do not fit together.
    """

    splits: np.ndarray
    images: np.ndarray
    positives: np.ndarray
    bboxes: np.ndarray
    queries: np.ndarray | None = None

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        # galleries of 4,000 images for 2,900 queries: 64 bits each would double what is held
        kinds = dict(splits=np.int64, images=np.int32, positives=np.int64, bboxes=np.float32)
        for name, kind in kinds.items():
            tail = (4,) if name == 'bboxes' else ()
            set_field(self, name, as_array(f'galleries.{name}', getattr(self, name), kind, tail))
        searches = max(len(self.splits) - 1, 0)
        check_splits('galleries.splits', self.splits, searches, 'search', len(self.images))
        check_indices('galleries.positives', self.positives, len(self.images), 'gallery entries')
        if (np.diff(self.positives) <= 0).any():
            raise ValueError(
                'galleries.positives: list each positive entry once, in ascending order'
            )
        check_length('galleries.bboxes', self.bboxes, len(self.positives), 'positive entry')
        check_boxes('galleries.bboxes', self.bboxes)
        queries = np.arange(searches) if self.queries is None else self.queries
        set_field(self, 'queries', as_array('galleries.queries', queries, np.int64))
        check_length('galleries.queries', self.queries, searches, 'search')

    def __len__(self) -> int:
        """Number of searches, S."""
        return len(self.splits) - 1


@dataclass(frozen=True)
class SearchAnnotations:
    """Ground truth and retrieval protocol of a test set.

    Example:
        >>> boxes = np.float32([[10, 20, 60, 170], [90, 20, 140, 170], [10, 20, 60, 170]])
        >>> annotations = SearchAnnotations(
        ...     image_names=('a.jpg', 'b.jpg'),
        ...     cameras=np.array([1, 2]),
        ...     box_splits=np.array([0, 2, 3]),  # two people in a.jpg, one in b.jpg
        ...     bboxes=boxes,
        ...     person_ids=np.array([7, -1, 7]),
        ...     query_images=np.array([0]),
        ...     query_bboxes=boxes[:1],
        ...     query_person_ids=np.array([7]),
        ... )
        >>> annotations.num_images, annotations.num_queries
        (2, 1)

    Attributes:
        image_names: I file names as the data set lists them, e.g. ``c1s1_000151.jpg``.
        cameras: (I,) int64 camera of each image, -1 where unknown.
        box_splits: (I+1,) int64. Rows ``box_splits[i]:box_splits[i+1]`` belong to image i.
        bboxes: (G, 4) float32 xyxy in original pixels, every annotated person.
        person_ids: (G,) int64 ids as the data set numbers them, -1 for an unlabelled person.
        query_images: (Q,) int64 index into ``image_names``.
        query_bboxes: (Q, 4) float32 xyxy in original pixels.
        query_person_ids: (Q,) int64.
        galleries: Explicit protocols, by gallery size (``100``) or name (``'occlusion'``). Empty:
            each query is searched in every image but its own.

    Raises:
        ValueError: The arrays do not fit together; the message names array, row and fix.
    """

    image_names: tuple[str, ...]
    cameras: np.ndarray
    box_splits: np.ndarray
    bboxes: np.ndarray
    person_ids: np.ndarray
    query_images: np.ndarray
    query_bboxes: np.ndarray
    query_person_ids: np.ndarray
    galleries: dict[int | str, SearchGalleries] = field(default_factory=dict)

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        set_field(self, 'image_names', tuple(str(name) for name in self.image_names))
        for name in ('cameras', 'box_splits', 'person_ids', 'query_images', 'query_person_ids'):
            set_field(self, name, as_array(name, getattr(self, name), np.int64))
        for name in ('bboxes', 'query_bboxes'):
            set_field(self, name, as_array(name, getattr(self, name), np.float32, (4,)))
        self._check_images()
        self._check_queries()

    def _check_images(self) -> None:
        images = len(self.image_names)
        check_once('image_names', self.image_names)
        check_length('cameras', self.cameras, images, 'image')
        check_splits('box_splits', self.box_splits, images, 'image', len(self.bboxes))
        check_boxes('bboxes', self.bboxes)
        check_length('person_ids', self.person_ids, len(self.bboxes), 'box')
        if (self.person_ids < UNLABELLED).any():
            row = int(np.flatnonzero(self.person_ids < UNLABELLED)[0])
            raise ValueError(
                f'person_ids: row {row} is {self.person_ids[row]}; use -1 for an unlabelled person'
            )

    def _check_queries(self) -> None:
        queries = len(self.query_images)
        check_indices('query_images', self.query_images, len(self.image_names), 'images')
        check_length('query_bboxes', self.query_bboxes, queries, 'query')
        check_boxes('query_bboxes', self.query_bboxes)
        check_length('query_person_ids', self.query_person_ids, queries, 'query')
        if (self.query_person_ids < 0).any():
            row = int(np.flatnonzero(self.query_person_ids < 0)[0])
            raise ValueError(f'query_person_ids: row {row} is negative; a query needs an id >= 0')
        for name, gallery in self.galleries.items():
            check_indices(f'galleries[{name}].queries', gallery.queries, queries, 'queries')
            check_indices(
                f'galleries[{name}].images', gallery.images, len(self.image_names), 'images'
            )

    @property
    def num_images(self) -> int:
        """I, the number of images."""
        return len(self.image_names)

    @property
    def num_queries(self) -> int:
        """Q, the number of queries."""
        return len(self.query_images)


def gather_slices(splits: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """List the rows of several groups one after the other.

    ``groups`` (P,) are numbers in any order, which may repeat. Gives the position in ``groups``
    that each row is listed for (R,), and the rows (R,).
    """
    counts = splits[groups + 1] - splits[groups]
    owners = np.repeat(np.arange(len(groups)), counts)
    first = np.cumsum(counts) - counts
    rows = np.arange(len(owners)) + (splits[groups] - first)[owners]
    return owners, rows


def splits_of(owners: np.ndarray, groups: int) -> np.ndarray:
    """Splits (groups + 1,) int64 of rows whose ascending group numbers are ``owners``."""
    return np.searchsorted(owners, np.arange(groups + 1)).astype(np.int64)


def owners_of(splits: np.ndarray) -> np.ndarray:
    """(R,) int64 group of each row, from the groups' splits."""
    return np.repeat(np.arange(len(splits) - 1), np.diff(splits))
