"""One split as flat arrays, which every check of a report looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmps.evaluation.functional.annotations import UNLABELLED
from mmps.formats.scene_index import SceneIndex


@dataclass(frozen=True)
class Split:
    """One split of a data set and its boxes one after the other.

    Attributes:
        name: ``'train'`` or ``'test'``.
        index: As ``load_scenes`` gives it.
        removed: ``file (row)`` of each box without area.
        cameras: (I,) int64 camera of each image, -1 where unknown.
        counts: (I,) int64 boxes of each image.
        images: (N,) int64 image of each box.
        rows: (N,) int64 row of each box within its image.
        bboxes: (N, 4) float32 xyxy.
        person_ids: (N,) int64, -1 for an unlabelled person.
    """

    name: str
    index: SceneIndex
    removed: Sequence[str]
    cameras: np.ndarray
    counts: np.ndarray
    images: np.ndarray
    rows: np.ndarray
    bboxes: np.ndarray
    person_ids: np.ndarray

    @classmethod
    def of(cls, name: str, index: SceneIndex, removed: Sequence[str]) -> Split:
        """The arrays of an index."""
        frames = index.frames
        counts = np.array([len(frame.bboxes) for frame in frames], np.int64)
        starts = np.cumsum(counts) - counts
        return cls(
            name=name,
            index=index,
            removed=removed,
            cameras=np.array([frame.camera for frame in frames], np.int64),
            counts=counts,
            images=np.repeat(np.arange(len(frames)), counts),
            rows=np.arange(counts.sum()) - np.repeat(starts, counts),
            bboxes=np.concatenate([np.empty((0, 4), np.float32), *(f.bboxes for f in frames)]),
            person_ids=np.concatenate([np.empty(0, np.int64), *(f.person_ids for f in frames)]),
        )

    @property
    def labelled(self) -> np.ndarray:
        """(N,) bool: boxes of people with an identity."""
        return self.person_ids != UNLABELLED

    @property
    def query_images(self) -> np.ndarray:
        """(Q,) int64 image of each query."""
        places = {frame.name: place for place, frame in enumerate(self.index.frames)}
        return np.array([places[query.image_name] for query in self.index.queries], np.int64)

    @property
    def query_ids(self) -> np.ndarray:
        """(Q,) int64 person of each query."""
        return np.array([query.person_id for query in self.index.queries], np.int64)

    @property
    def query_bboxes(self) -> np.ndarray:
        """(Q, 4) float32 box of each query."""
        bboxes = [query.bbox for query in self.index.queries]
        return np.array(bboxes, np.float32).reshape(-1, 4)

    def appearances(self) -> np.ndarray:
        """(A, 2) int64, ascending: each identity and image it is seen in, once."""
        pairs = np.stack([self.person_ids[self.labelled], self.images[self.labelled]], 1)
        return np.unique(pairs, axis=0).reshape(-1, 2)

    def other_images_of_queries(self) -> np.ndarray:
        """(Q,) int64: images, other than the query's own, that show the person of each query."""
        ids, images = self.appearances().T
        wanted = self.query_ids
        shown = np.searchsorted(ids, wanted, 'right') - np.searchsorted(ids, wanted)
        here = wanted * len(self.counts) + self.query_images
        return shown - np.isin(here, ids * len(self.counts) + images)

    def place(self, box: int) -> str:
        """File and row of a box, for a message."""
        source = self.index.frames[self.images[box]].source
        name = self.index.frames[self.images[box]].name
        where = source if name in source else f'{source}: {name}'
        return f'{where} (box {self.rows[box]}): {show_box(self.bboxes[box])}'

    def person(self, person_id: int) -> str:
        """How to call an identity, in the numbering of the files."""
        raw = self.index.raw_ids
        return f'identity {person_id if raw is None else int(raw[person_id])}'


def show_box(bbox: np.ndarray) -> str:
    """A box as ``[x1, y1, x2, y2]``."""
    return f'[{", ".join(f"{value:g}" for value in bbox.tolist())}]'


def as_rows(*columns: np.ndarray) -> np.ndarray:
    """Columns side by side, (n, k) float64, in which every id and every coordinate is exact."""
    return np.column_stack([np.asarray(column, np.float64) for column in columns])


def row_keys(rows: np.ndarray) -> np.ndarray:
    """(n,) one value for each row of (n, k), equal where the rows are equal."""
    rows = np.ascontiguousarray(rows) + 0.0  # -0.0 and 0.0 are one number with two bit patterns
    return rows.view([('', rows.dtype)] * rows.shape[1])[:, 0]
