"""Labels of rendered pictures, and the choice of the query people among them."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmps.synthetic.files import write_bytes
from mmps.synthetic.planning import ScenePlan, SyntheticConfig

_QUERY_STREAM = 6


@dataclass(frozen=True)
class Labels:
    """People of one picture; attributes as of `Scene`."""

    person_ids: np.ndarray
    boxes: np.ndarray
    visible: np.ndarray

    def save(self, path: Path) -> None:
        """Writes the labels to an .npz file."""
        buffer = io.BytesIO()
        np.savez(buffer, person_ids=self.person_ids, boxes=self.boxes, visible=self.visible)
        write_bytes(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> 'Labels':
        """Reads what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            return cls(file['person_ids'], file['boxes'], file['visible'])


@dataclass(frozen=True)
class Query:
    """A query person: row `row` of the labels of picture `scene`."""

    scene: int
    row: int


def choose_queries(
    config: SyntheticConfig, scenes: list[ScenePlan], labels: list[Labels]
) -> list[Query]:
    """Chooses query people who also appear in another camera.

    Identities take turns, and each offers its best seen appearances first.

    Raises:
        ValueError: Fewer people than queries asked for qualify.
    """
    rng = np.random.default_rng([config.seed, _QUERY_STREAM])
    offers: dict[int, list[tuple[float, Query]]] = {}
    cameras: dict[int, set[int]] = {}
    for number, (scene, label) in enumerate(zip(scenes, labels, strict=True)):
        if not scene.is_test:
            continue
        for row in np.flatnonzero(label.person_ids >= 0):
            person = int(label.person_ids[row])
            quality = min(float(label.visible[row]), 0.6) + rng.uniform(0, 0.01)
            offers.setdefault(person, []).append((quality, Query(number, int(row))))
            cameras.setdefault(person, set()).add(scene.camera)
    ranked = []
    for person, candidates in offers.items():
        if len(cameras[person]) < 2:
            continue
        candidates.sort(key=lambda offer: -offer[0])
        ranked += [(turn, person, query) for turn, (_, query) in enumerate(candidates)]
    ranked.sort(key=lambda entry: entry[:2])
    if len(ranked) < config.queries:
        raise ValueError(
            f'only {len(ranked)} people qualify as one of {config.queries} queries; '
            'ask for fewer queries or more test images'
        )
    return [query for _, _, query in ranked[: config.queries]]
