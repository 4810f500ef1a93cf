"""Plans a data set from a seed: who appears where, and who is searched for."""

from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmps.synthetic.appearance import Appearance, sample_appearance
from mmps.synthetic.camera import NUM_CAMERAS
from mmps.utils.files import whole_file

PLAN_STREAM, LOOK_STREAM = 3, 4
PEOPLE_PER_IMAGE = 3.0
UNLABELLED_SHARE = 0.15
MIN_APPEARANCES = 4
MAX_PEOPLE_PER_IMAGE = 8.0
FIRST_FRAME, FRAME_STEP = 151, 25


@dataclass(frozen=True)
class SyntheticConfig:
    """Size of a synthetic data set; the same values give the same bytes.

    Example:
        >>> config = SyntheticConfig(images=40, identities=10)
        >>> scenes = plan(config)
        >>> len(scenes), scenes[0].name, scenes[0].people
        (170, 'c6s1_000151', (1, 3, 10))

    Attributes:
        images, identities: Of the training set.
        test_images, test_identities, queries: Of the test set, in which nobody of the training is.
        width, height: Of images, in pixels.
        seed: Of everything.
    """

    images: int = 1205
    identities: int = 300
    test_images: int = 130
    test_identities: int = 80
    queries: int = 400
    width: int = 480
    height: int = 270
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            lowest = {'seed': 0, 'width': 160, 'height': 90}.get(name, 1)
            if name in ('images', 'test_images'):
                lowest = MIN_APPEARANCES
            if value < lowest:
                raise ValueError(f'{name} is {value}; give at least {lowest}')
        for images, identities, queries in (
            (self.images, self.identities, 0),
            (self.test_images, self.test_identities, self.queries),
        ):
            needed = appearances(images, identities, queries)
            crowd = needed * identities / images
            if crowd > MAX_PEOPLE_PER_IMAGE or needed > images:
                raise ValueError(
                    f'{identities} identities with {queries} queries need {needed} appearances '
                    f'each, {crowd:.1f} people in each of {images} images; give more images, '
                    'fewer identities or fewer queries'
                )


@dataclass(frozen=True)
class ScenePlan:
    """One picture to be drawn.

    Example:
        >>> from mmps.synthetic import render_scene
        >>> config = SyntheticConfig(width=160, height=90)
        >>> scene = plan(config)[0]
        >>> scene.name, scene.people, render_scene(config, scene).image.shape
        ('c6s1_000151', (60, 156, 273), (90, 160, 3))

    Attributes:
        index: Number of the picture in the data set.
        name: Frame name without extension: camera, sequence and frame number.
        camera: 0-based camera.
        is_test: Whether it belongs to the test set.
        people: Person ids, 1-based; test ids follow the training ids.
        passers_by: Number of unlabelled people.
        photograph: What stands behind them; None: the drawn place of the camera.
    """

    index: int
    name: str
    camera: int
    is_test: bool
    people: tuple[int, ...]
    passers_by: int
    photograph: Path | None = None


def appearances(images: int, identities: int, queries: int = 0) -> int:
    """How often each identity appears in so many images."""
    usual = min(round(PEOPLE_PER_IMAGE * images / identities), round(0.8 * images))
    return max(MIN_APPEARANCES, usual, int(np.ceil(1.2 * queries / identities)))


@lru_cache(maxsize=4096)
def look_of(config: SyntheticConfig, person_id: int) -> Appearance:
    """The appearance of an identity; ids next to each other differ in their colour pair."""
    rng = np.random.default_rng([config.seed, LOOK_STREAM, person_id])
    return sample_appearance(rng, person_id)


def plan(config: SyntheticConfig) -> list[ScenePlan]:
    """Plans all pictures, the training set first.

    Every identity appears in at least two cameras and at most once in a picture.
    """
    scenes: list[ScenePlan] = []
    for is_test, images, identities, queries in (
        (False, config.images, config.identities, 0),
        (True, config.test_images, config.test_identities, config.queries),
    ):
        rng = np.random.default_rng([config.seed, PLAN_STREAM, int(is_test)])
        cameras = rng.permutation(np.arange(images) % min(NUM_CAMERAS, images))
        first_id = 1 + (config.identities if is_test else 0)
        count = appearances(images, identities, queries)
        people = _assign(rng, cameras, identities, count)
        mean = count * identities / images
        extra = mean * UNLABELLED_SHARE / (1 - UNLABELLED_SHARE)
        frames = np.zeros(NUM_CAMERAS, int)
        for camera, present in zip(cameras.tolist(), people, strict=True):
            frame = FIRST_FRAME + FRAME_STEP * int(frames[camera])
            frames[camera] += 1
            scenes.append(
                ScenePlan(
                    index=len(scenes),
                    name=f'c{camera + 1}s{1 + is_test}_{frame:06d}',
                    camera=camera,
                    is_test=is_test,
                    people=tuple(first_id + k for k in present),
                    passers_by=int(rng.poisson(extra)),
                )
            )
    return scenes


def with_photographs(
    config: SyntheticConfig, scenes: list[ScenePlan], photographs: list[Path]
) -> list[ScenePlan]:
    """Puts a photograph behind the people of each scene.

    Each camera has photographs of its own, a quarter of them, at least one, for the test set. Of
    fewer than 12, cameras or sets share some.
    """
    rng = np.random.default_rng([config.seed, _PHOTOGRAPH_STREAM])
    order, planned = rng.permutation(len(photographs)), []
    for scene in scenes:
        own = order[scene.camera % len(order) :: NUM_CAMERAS]
        if len(own) > 1:
            own = np.split(own, [-(-len(own) // 4)])[0 if scene.is_test else 1]
        planned.append(replace(scene, photograph=photographs[rng.choice(own)]))
    return planned


def _assign(
    rng: np.random.Generator, cameras: np.ndarray, identities: int, count: int
) -> list[list[int]]:
    """Spreads `count` appearances of each identity over images of at least two cameras."""
    people: list[list[int]] = [[] for _ in cameras]
    # Uneven wishes make some pictures lonely and some crowded, as real ones are.
    wish = rng.uniform(0, 0.8 * count * identities / len(cameras), len(cameras))
    load = np.zeros(len(cameras))
    for person in range(identities):
        present = np.unique(cameras)
        visited = rng.permutation(present)[: rng.integers(2, len(present) + 1)]
        quota = np.bincount(np.arange(count) % len(visited), minlength=len(visited))
        rest = 0
        chosen: list[int] = []
        for camera, share in zip(visited, quota, strict=True):
            free = np.flatnonzero(cameras == camera)
            take = min(int(share), len(free))
            rest += int(share) - take
            chosen += _least_loaded(rng, free, load + wish, take)
        if rest:
            free = np.setdiff1d(np.arange(len(cameras)), chosen)
            chosen += _least_loaded(rng, free, load + wish, rest)
        for image in chosen:
            people[image].append(person)
            load[image] += 1
    return people


def _least_loaded(
    rng: np.random.Generator, images: np.ndarray, load: np.ndarray, count: int
) -> list[int]:
    order = np.argsort(load[images] + rng.uniform(0, 0.9, len(images)), kind='stable')
    return images[order[:count]].tolist()


_QUERY_STREAM, _PHOTOGRAPH_STREAM = 6, 7


@dataclass(frozen=True)
class Labels:
    """People of one picture.

    Attributes:
        person_ids: (n,) int64, -1 for unlabelled people.
        boxes: (n, 4) float32 xyxy in pixels: the tight box of the whole body, hidden parts
            included, clipped to the picture.
        visible: (n,) float32, share of the body's pixels that are seen.
    """

    person_ids: np.ndarray
    boxes: np.ndarray
    visible: np.ndarray

    def save(self, path: Path) -> None:
        with whole_file(path) as temporary, open(temporary, 'wb') as file:
            np.savez(file, person_ids=self.person_ids, boxes=self.boxes, visible=self.visible)

    @classmethod
    def load(cls, path: Path) -> 'Labels':
        with np.load(path, allow_pickle=False) as file:
            return cls(file['person_ids'], file['boxes'], file['visible'])


class QueryPlace(NamedTuple):
    """Where a query person is: row `row` of the labels of picture `scene`."""

    scene: int
    row: int


def choose_queries(
    config: SyntheticConfig, scenes: list[ScenePlan], labels: list[Labels]
) -> list[QueryPlace]:
    """Chooses query people who also appear in another camera.

    Identities take turns, and each offers its best seen appearances first.

    Raises:
        ValueError: Fewer people than queries asked for qualify.
    """
    rng = np.random.default_rng([config.seed, _QUERY_STREAM])
    offers: dict[int, list[tuple[float, QueryPlace]]] = defaultdict(list)
    cameras: dict[int, set[int]] = defaultdict(set)
    for number, (scene, label) in enumerate(zip(scenes, labels, strict=True)):
        if not scene.is_test:
            continue
        for row in np.flatnonzero(label.person_ids >= 0):
            person = int(label.person_ids[row])
            quality = min(float(label.visible[row]), 0.6) + rng.uniform(0, 0.01)
            offers[person].append((-quality, QueryPlace(number, int(row))))
            cameras[person].add(scene.camera)
    ranked = sorted(
        (turn, person, query)
        for person, candidates in offers.items()
        for turn, (_, query) in enumerate(sorted(candidates))
        if len(cameras[person]) > 1
    )
    if len(ranked) < config.queries:
        raise ValueError(
            f'only {len(ranked)} people qualify as one of {config.queries} queries; '
            'ask for fewer queries or more test images'
        )
    return [query for _, _, query in ranked[: config.queries]]
