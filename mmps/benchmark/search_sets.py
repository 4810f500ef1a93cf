"""Random test sets of the size of real ones, and predictions that find most and confuse many."""

from dataclasses import dataclass, replace

import numpy as np

from mmps.evaluation.functional import SearchAnnotations, SearchGalleries, SearchPredictions


@dataclass(frozen=True)
class Size:
    """How much there is to evaluate; the defaults are PRW's test set.

    Attributes:
        images: Test images.
        boxes: Annotated people.
        labelled: Of them, those with an id.
        people: Ids.
        queries: Queries; with galleries at most one for each id.
        galleries: Gallery sizes of explicit protocols; empty for none.
        detections: Detections.
        dim: Length of the embeddings.
    """

    images: int = 6112
    boxes: int = 25062
    labelled: int = 19127
    people: int = 544
    queries: int = 2057
    galleries: tuple[int, ...] = ()
    detections: int = 40000
    dim: int = 256


SIZES = {
    'prw': Size(),
    'cuhk_sysu': Size(
        images=6978,
        boxes=40871,
        labelled=8345,
        people=2900,
        queries=2900,
        galleries=(50, 100, 500, 1000, 2000, 4000),
    ),
}
"""The two test sets the field reports on."""


def product(predictions: SearchPredictions, rows: int = 256) -> None:
    """All similarities, some queries at a time: the floor of any evaluation."""
    for start in range(0, len(predictions.query_embeddings), rows):
        predictions.query_embeddings[start : start + rows] @ predictions.embeddings.T


def random_test_set(
    size: Size, rng: np.random.Generator
) -> tuple[SearchAnnotations, SearchPredictions]:
    """A test set of the given size, and predictions for it."""
    annotations = _annotations(size, rng)
    return annotations, random_predictions(annotations, size.detections, size.dim, rng)


def _annotations(size: Size, rng: np.random.Generator) -> SearchAnnotations:
    image = np.sort(rng.integers(0, size.images, size.boxes))
    bboxes = _boxes(size.boxes, rng)
    person_ids = np.full(size.boxes, -1)
    labelled = rng.choice(size.boxes, size.labelled, replace=False)
    # With galleries everybody appears at least twice: as the query, and to be found.
    listed = np.arange(2 * size.people if size.galleries else 0) % size.people
    others = rng.integers(0, size.people, size.labelled - len(listed))
    person_ids[labelled] = np.concatenate([listed, others])
    query = labelled[: size.queries]
    annotations = SearchAnnotations(
        image_names=tuple(f'c{i % 6 + 1}s1_{i:06d}.jpg' for i in range(size.images)),
        cameras=np.arange(size.images) % 6,
        box_splits=np.searchsorted(image, np.arange(size.images + 1)),
        bboxes=bboxes,
        person_ids=person_ids,
        query_images=image[query],
        query_bboxes=bboxes[query],
        query_person_ids=person_ids[query],
    )
    return replace(annotations, galleries=_galleries(size, annotations, image, rng))


def _galleries(
    size: Size, annotations: SearchAnnotations, image: np.ndarray, rng: np.random.Generator
) -> dict[int | str, SearchGalleries]:
    """For each size the images of the query's person, then others; smaller ones are prefixes."""
    if not size.galleries:
        return {}
    by_person = np.argsort(annotations.person_ids, kind='stable')
    ends = np.searchsorted(annotations.person_ids[by_person], np.arange(size.people + 1))
    largest = max(size.galleries)
    images = np.empty((size.queries, largest), np.int32)
    shown, bboxes = [], []
    for query, (own, person) in enumerate(
        zip(annotations.query_images, annotations.query_person_ids, strict=True)
    ):
        boxes = by_person[ends[person] : ends[person + 1]]
        boxes = boxes[np.unique(image[boxes], return_index=True)[1]]
        boxes = boxes[image[boxes] != own][: min(size.galleries)]
        others = rng.permutation(size.images)
        others = others[~np.isin(others, [own, *image[boxes]])]
        images[query] = np.concatenate([image[boxes], others])[:largest]
        shown.append(np.arange(len(boxes)))
        bboxes.append(annotations.bboxes[boxes])
    counts = [len(places) for places in shown]
    return {
        length: SearchGalleries(
            splits=length * np.arange(size.queries + 1),
            images=images[:, :length].ravel(),
            positives=np.repeat(length * np.arange(size.queries), counts) + np.concatenate(shown),
            bboxes=np.concatenate(bboxes),
        )
        for length in size.galleries
    }


def random_predictions(
    annotations: SearchAnnotations, detections: int, dim: int, rng: np.random.Generator
) -> SearchPredictions:
    """People first, cut or filled up with false alarms to the wanted number of detections."""
    bboxes, person_ids = annotations.bboxes, annotations.person_ids
    images, people = annotations.num_images, person_ids.max() + 1
    image = np.repeat(np.arange(images), np.diff(annotations.box_splits))
    found = rng.permutation(len(bboxes))[:detections]
    false_alarms = detections - len(found)
    detected_image = np.concatenate([image[found], rng.integers(0, images, false_alarms)])
    order = np.argsort(detected_image, kind='stable')
    noise = rng.normal(0, 4, (len(found), 4)).astype(np.float32)
    detected = np.concatenate([bboxes[found] + noise, _boxes(false_alarms, rng)])
    looks = rng.standard_normal((people, dim), np.float32)
    identity = np.concatenate([person_ids[found], rng.integers(0, people, false_alarms)])[order]
    shown = looks[identity]
    # Unlabelled people do not all look alike.
    unlabelled = np.flatnonzero(identity < 0)
    shown[unlabelled] = rng.standard_normal((len(unlabelled), dim), np.float32)
    return SearchPredictions(
        image_names=annotations.image_names,
        image_splits=np.searchsorted(detected_image[order], np.arange(images + 1)),
        bboxes=detected[order],
        scores=rng.uniform(0.5, 1, detections),
        embeddings=_embeddings(shown, rng),
        query_embeddings=_embeddings(looks[annotations.query_person_ids], rng),
    )


def _boxes(n: int, rng: np.random.Generator) -> np.ndarray:
    corner = rng.uniform((0, 0), (1700, 680), (n, 2))
    return np.concatenate([corner, corner + rng.uniform((40, 80), (150, 400), (n, 2))], 1).astype(
        np.float32
    )


def _embeddings(looks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    values = looks + 1.5 * rng.standard_normal(looks.shape, np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)
