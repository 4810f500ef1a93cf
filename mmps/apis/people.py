"""The people that a network found in one image."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mmps.utils.files import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas
    from PIL.Image import Image


@dataclass(frozen=True, eq=False)
class People:
    """Boxes, scores and embeddings of the people in one image, the most certain first.

    Indexed like an array; ``people[2]``, too, is a `People`, of one.

    Example:
        >>> boxes = np.float32([[10, 20, 60, 170], [90, 20, 140, 170]])
        >>> people = People(boxes, np.float32([0.9, 0.4]), np.float32([[1, 0], [0, 1]]))
        >>> len(people), people[people.scores > 0.5].bboxes.tolist()
        (2, [[10.0, 20.0, 60.0, 170.0]])
        >>> print(people.describe())
          1: 10,20,60,170 (score 0.90)
          2: 90,20,140,170 (score 0.40)

    Attributes:
        bboxes: (n, 4) float32 xyxy in pixels of the original image.
        scores: (n,) float32, 0..1.
        embeddings: (n, D) float32 of unit norm; their inner product is the similarity.
        image: What they were found in, for :meth:`plot`: a path, or (h, w, 3) uint8 BGR. None where
            it was not kept.
        scene: (S,) float32 embedding of the whole image, where the network makes one.
        scene_filters: (n, 3 * S + 2) float32, what each looks for in scenes, of given boxes only.
    """

    bboxes: np.ndarray
    scores: np.ndarray
    embeddings: np.ndarray = field(repr=False)
    image: str | np.ndarray | None = field(default=None, repr=False)
    scene: np.ndarray | None = field(default=None, repr=False)
    scene_filters: np.ndarray | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.bboxes)

    def __getitem__(self, index: Any) -> People:
        if isinstance(index, (int, np.integer)):
            index = [range(len(self))[index]]
        return replace(
            self,
            bboxes=self.bboxes[index],
            scores=self.scores[index],
            embeddings=self.embeddings[index],
            scene_filters=None if self.scene_filters is None else self.scene_filters[index],
        )

    def __iter__(self) -> Iterator[People]:
        return (self[index] for index in range(len(self)))

    def describe(self) -> str:
        """A line for each: number from 1, box, score."""
        boxes = (','.join(f'{value:.0f}' for value in bbox) for bbox in self.bboxes)
        lines = zip(boxes, self.scores, strict=True)
        return '\n'.join(
            f'  {number}: {box} (score {score:.2f})'
            for number, (box, score) in enumerate(lines, start=1)
        )

    def plot(
        self, path: str | os.PathLike | None = None, *, image: str | np.ndarray | None = None
    ) -> Image:
        """Outline the people, numbered from 1 as in :meth:`describe`, in a picture for notebooks.

        Args:
            path: Also write the picture there.
            image: What to draw on, a path or (h, w, 3) uint8 BGR, where it was not kept.

        Raises:
            ValueError: There is no image to draw on.
        """
        from mmps.sources import as_image
        from mmps.visualization import draw_people, finish_picture

        image = self.image if image is None else image
        if image is None:
            raise ValueError('People.plot: the image was not kept; give it, image=...')
        labels = [f'{number}: {score:.2f}' for number, score in enumerate(self.scores, start=1)]
        canvas = draw_people(as_image(image), self.bboxes, range(len(self)), labels)
        return finish_picture(canvas, path)

    def to_json(self, path: str | os.PathLike | None = None) -> str:
        """A list of people with ``bbox``, ``score`` and ``embedding``; also written to ``path``."""
        people = [
            dict(bbox=person.bboxes[0], score=person.scores[0], embedding=person.embeddings[0])
            for person in self
        ]
        text = json.dumps([{k: v.tolist() for k, v in p.items()} for p in people], indent=2)
        if path is not None:
            with whole_file(path) as temporary:
                temporary.write_text(text + '\n')
        return text

    def to_pandas(self) -> pandas.DataFrame:
        """A row for each: ``x1``, ``y1``, ``x2``, ``y2``, ``score``, ``embedding``."""
        import pandas

        columns = dict(zip(('x1', 'y1', 'x2', 'y2'), self.bboxes.T, strict=True))
        columns |= dict(score=self.scores, embedding=list(self.embeddings))
        return pandas.DataFrame(columns)
