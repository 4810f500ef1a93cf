from collections.abc import Sequence

import numpy as np

from mmps.apis import People, PersonSearcher
from mmps.apis.network import Network
from mmps.evaluation.functional import SearchAnnotations, SearchPredictions
from mmps.retrieval import Gallery, IndexedFrame, ModelTag

TAG = ModelTag('f00d', 2, 'tiny')
BOXES = np.float32([[10, 20, 60, 170], [90, 20, 140, 170]])
COLOURS = [',upper red,lower blue,', ',upper green,lower black,']


def tiny_gallery() -> Gallery:
    """Two people in memory, who walk past three cameras in turn, a second in view of each.

    Their embeddings are (1, 0) and (0, 1) at the first camera, and nearer to each other at the next
    ones.
    """
    frames = []
    for number, camera in enumerate(('door', 'hall', 'yard')):
        angles = np.array([0.1 * number, np.pi / 2 - 0.1 * number])
        place = dict(camera=camera, metadata=dict(floor=number), colours=COLOURS)
        frames += [
            IndexedFrame(
                f'{camera}.mp4',
                (640, 480),
                BOXES,
                np.float32([0.9, 0.8]),
                np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32),
                frame=25 * second,
                offset=float(second),
                time=60.0 * number + second,
                tracklets=2 * number + np.array([1, 2]),
                **place,
            )
            for second in (0, 1)
        ]
    gallery = Gallery.open('memory:', TAG)
    gallery.append(frames)
    return gallery


def tiny_searcher() -> PersonSearcher:
    """Finds one person in every picture, who fills it: in a black one the first of
    :func:`tiny_gallery`, in a white one the second.
    """
    return PersonSearcher.of_network(_Brightness())


class _Brightness(Network):
    tag = TAG

    def __call__(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray] | None = None
    ) -> list[People]:
        if boxes is None:
            boxes = [np.float32([[0, 0, *image.shape[1::-1]]]) for image in images]
        return [self._people(*pair) for pair in zip(images, boxes, strict=True)]

    @staticmethod
    def _people(image: np.ndarray, boxes: np.ndarray) -> People:
        angles = np.full(len(boxes), np.pi / 2 * image.mean() / 255)
        embeddings = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
        return People(boxes, np.ones(len(boxes), np.float32), embeddings)


def tiny_test_set() -> tuple[SearchAnnotations, SearchPredictions]:
    """Two people in three images, searched for from the first one, and what a model found.

    It missed the second person in the third image, and the first one looks there more like the
    second than these do themselves in the second image.
    """
    names = 'a.jpg', 'b.jpg', 'c.jpg'
    annotations = SearchAnnotations(
        image_names=names,
        cameras=np.array([1, 1, 2]),
        box_splits=np.array([0, 2, 4, 6]),
        bboxes=np.tile(BOXES, (3, 1)),
        person_ids=np.array([7, 8] * 3),
        query_images=np.array([0, 0]),
        query_bboxes=BOXES,
        query_person_ids=np.array([7, 8]),
    )
    predictions = SearchPredictions(
        image_names=names,
        image_splits=np.array([0, 2, 4, 5]),
        bboxes=annotations.bboxes[:5],
        scores=np.float32([0.9, 0.9, 0.9, 0.9, 0.7]),
        embeddings=np.float32([[1, 0], [0, 1], [1, 0], [0.6, 0.8], [0.28, 0.96]]),
        query_embeddings=np.float32([[1, 0], [0, 1]]),
    )
    return annotations, predictions
