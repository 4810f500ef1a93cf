"""What the files of a person-search data set say, checked, before mmengine sees it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mmps.evaluation.functional.annotations import UNLABELLED, SearchAnnotations, SearchGalleries

LARGEST_COORDINATE = 1_000_000
"""In pixels; whole numbers and common fractions up to here are exact in float32."""

LARGEST_ID = 2**31 - 1
"""Ids are kept in 32 bits wherever many are stored."""


@dataclass(frozen=True)
class Frame:
    """One scene image and the people annotated in it.

    Example:
        >>> bboxes = np.float32([[10, 20, 60, 170], [90, 20, 140, 170]])
        >>> people = dict(bboxes=bboxes, person_ids=np.array([7, -1]), source='boxes.csv')
        >>> frames = [Frame('c1.jpg', **people, camera=1), Frame('c2.jpg', **people, camera=2)]
        >>> [(query.image_name, query.person_id) for query in first_per_camera(frames)]
        [('c1.jpg', 7), ('c2.jpg', 7)]

    Attributes:
        name: File name as the data set lists it, e.g. ``c1s1_000151.jpg``.
        bboxes: (n, 4) float32 xyxy in original pixels; n may be 0.
        person_ids: (n,) int64. Training: 0..num_ids-1; test: as the data set numbers them; -1 for
            an unlabelled person.
        source: Annotation file the boxes came from, for error messages.
        camera: Camera number, -1 where unknown.
    """

    name: str
    bboxes: np.ndarray
    person_ids: np.ndarray
    source: str
    camera: int = -1


@dataclass(frozen=True)
class Query:
    """One person to search for.

    Example:
        >>> query = Query('a.jpg', np.float32([10, 20, 60, 170]), 7, 'queries.csv, row 1')
        >>> frame = Frame('a.jpg', query.bbox[None], np.array([7]), 'boxes.csv')
        >>> index = SceneIndex([frame], num_ids=0, queries=[query])
        >>> to_search_annotations(index).query_person_ids.tolist()
        [7]

    Attributes:
        image_name: Name of the frame the person is shown in.
        bbox: (4,) float32 xyxy in original pixels.
        person_id: Id as the data set numbers it.
        source: File and row, for error messages.
    """

    image_name: str
    bbox: np.ndarray
    person_id: int
    source: str


@dataclass(frozen=True)
class SceneIndex:
    """Everything one split of a data set holds, but the pixels.

    Example:
        >>> boxes = np.float32([[10, 20, 60, 170], [90, 20, 140, 170]])
        >>> people = np.array([0, -1])
        >>> index = SceneIndex([Frame('a.jpg', boxes, people, 'boxes.csv')] * 2, num_ids=1)
        >>> arrays = index.arrays()
        >>> arrays['box_splits'].tolist(), arrays['person_ids'].tolist()
        ([0, 2, 4], [0, -1, 0, -1])

    Attributes:
        frames: The scene images, in the data set's order.
        num_ids: Number of training identities; 0 for a test split, whose ids are not remapped.
        queries: The queries, in the data set's order; empty for a training split.
        galleries: Explicit protocols by gallery size or name; their images are positions in
            ``frames``. Empty: each query is searched in every other image.
        raw_ids: (num_ids,) int64. The data set's own number of each training identity, where its
            test split numbers people in the same way; else None.
    """

    frames: Sequence[Frame]
    num_ids: int
    queries: Sequence[Query] = field(default_factory=tuple)
    galleries: dict[int | str, SearchGalleries] = field(default_factory=dict)
    raw_ids: np.ndarray | None = None

    def arrays(self) -> dict[str, np.ndarray]:
        """Boxes and ids of all frames, those of frame k being rows ``box_splits[k]:[k+1]``, and the
        boxes of the queries, in the types of :class:`SearchAnnotations`.
        """
        frames = self.frames
        return dict(
            box_splits=np.cumsum([0, *(len(frame.bboxes) for frame in frames)]),
            bboxes=np.concatenate([np.empty((0, 4), np.float32), *(f.bboxes for f in frames)]),
            person_ids=np.concatenate([np.empty(0, np.int64), *(f.person_ids for f in frames)]),
            query_bboxes=np.array([q.bbox for q in self.queries], np.float32).reshape(-1, 4),
        )


def has_area(bboxes: np.ndarray) -> np.ndarray:
    """(n,) bool: whether each xyxy box of ``bboxes`` (n, 4) is wider and higher than zero."""
    return (bboxes[:, 2:] > bboxes[:, :2]).all(1)


def training_index(
    frames: Sequence[Frame], listed: Iterable[int] | None = None, where: str = ''
) -> SceneIndex:
    """A training split of frames with the data set's own ids, which become ranks: 0..num_ids-1.

    Args:
        frames: The scene images.
        listed: All ids. None: those that somebody has.
        where: What lists them, for an error.
    """
    arrays = SceneIndex(frames, 0).arrays()
    ids, splits = arrays['person_ids'], arrays['box_splits']
    raw = np.unique(ids[ids != UNLABELLED] if listed is None else np.array([*listed], np.int64))
    for place in np.flatnonzero((ids != UNLABELLED) & ~np.isin(ids, raw)):
        number = np.searchsorted(splits, place, 'right') - 1
        raise ValueError(
            f'{frames[number].source}: row {place - splits[number]} (counted from 0) has the id '
            f'{ids[place]}, which is not among the {len(raw)} of {where}; add it there or mark the '
            'person as unlabelled'
        )
    ranks = np.where(ids == UNLABELLED, ids, np.searchsorted(raw, ids))
    ranked = zip(frames, np.split(ranks, splits[1:-1]), strict=True) if frames else ()
    frames = [replace(frame, person_ids=own) for frame, own in ranked]
    return SceneIndex(frames, len(raw), raw_ids=raw)


def to_search_annotations(index: SceneIndex) -> SearchAnnotations:
    """The index of a test split as the arrays that evaluation works on."""
    frames, queries = index.frames, index.queries
    positions = {frame.name: position for position, frame in enumerate(frames)}
    return SearchAnnotations(
        image_names=tuple(positions),
        cameras=np.array([frame.camera for frame in frames], np.int64),
        query_images=np.array([positions[query.image_name] for query in queries], np.int64),
        query_person_ids=np.array([query.person_id for query in queries], np.int64),
        galleries=index.galleries,
        **index.arrays(),
    )


@dataclass(frozen=True)
class SceneFiles(ABC):
    """One split of a data set in its authors' own files. Options of a format are further fields.

    Example:
        >>> from mmps.formats import scene_files
        >>> files = scene_files(dict(type='PRWDataset', data_root='data/PRW', test_mode=True))
        >>> files.split, str(files.image_root), str(files.sources()[0])
        ('test', 'data/PRW/frames', 'data/PRW/frame_test.mat')

    Attributes:
        root: Folder of the data set.
        test_mode: The test split instead of the training split.
    """

    image_folder = ''
    """What the names of frames are relative to, relative to ``root``."""

    root: Path
    test_mode: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, 'root', Path(self.root))

    @property
    def split(self) -> str:
        """``'train'`` or ``'test'``."""
        return 'test' if self.test_mode else 'train'

    @property
    def image_root(self) -> Path:
        """Folder that the names of frames are relative to."""
        return self.root / self.image_folder

    @abstractmethod
    def sources(self) -> list[Path]:
        """Every file that :meth:`read` depends on, whether it exists or not."""

    @abstractmethod
    def read(self) -> SceneIndex:
        """Read the index, without looking at pixels.

        Raises:
            FileNotFoundError: A file is missing.
            ValueError: A file is unreadable or contradicts the layout.
        """

    def prepare(self) -> None:  # noqa: B027 (most formats have nothing to do)
        """Make the images readable, where they are not files yet."""


FIRST_PER_CAMERA = 'first_per_camera'
"""What a data set's option calls the rule of :func:`first_per_camera`."""


def first_per_camera(frames: Sequence[Frame]) -> list[Query]:
    """The first box of each person in each camera, in the order of the frames.

    People seen in one image only are left out, for there is nobody to find. Images of unknown
    cameras count as one camera. Boxes without area are passed over.

    Returns:
        The queries. Nothing about them is random.
    """
    images: dict[int, set[int]] = defaultdict(set)
    first: dict[tuple[int, int], tuple[int, int]] = {}
    for position, frame in enumerate(frames):
        usable = has_area(np.asarray(frame.bboxes)) & (frame.person_ids != UNLABELLED)
        for row in np.flatnonzero(usable).tolist():
            person = int(frame.person_ids[row])
            images[person].add(position)
            first.setdefault((person, frame.camera), (position, row))
    chosen = sorted(place for (person, _), place in first.items() if len(images[person]) > 1)
    return [
        Query(
            frames[position].name,
            frames[position].bboxes[row],
            int(frames[position].person_ids[row]),
            f'{frames[position].source} (row {row})',
        )
        for position, row in chosen
    ]
