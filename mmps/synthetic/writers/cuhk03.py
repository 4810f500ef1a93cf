"""The layout of CUHK03 (Li et al., DeepReID, 2014), with the new protocol (Zhong et al., 2017)."""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from mmps.synthetic.cuhk03_files import SHOTS, VARIABLES, Place, write_cuhk03
from mmps.synthetic.files import PARTS
from mmps.synthetic.planning import Labels, Query, ScenePlan

SPLITS, MAX_SPLIT_PEOPLE = 20, 100
MAX_PEOPLE = 999  # per camera pair: the file names have three digits for them
_SPLIT_STREAM, _DETECTOR_STREAM = 7, 8
_DETECTOR_NOISE, _DETECTOR_MISSES = 0.05, 0.02


@dataclass
class _Cast:
    """Which appearance becomes which crop.

    Attributes:
        places: (scene, row of its labels) -> place of the crop in the data set.
        people: Number of people of each camera pair.
        tested: Camera pair and number of the people of the test scenes.
    """

    places: dict[tuple[int, int], Place] = field(default_factory=dict)
    people: list[int] = field(default_factory=list)
    tested: list[tuple[int, int]] = field(default_factory=list)


class CUHK03Writer:
    """Writes crops of the scenes, up to five of each identity by each of two cameras.

    The two cameras are those that show the identity most, and the first of them stands for the
    camera pair. Labelled crops are the boxes of the scenes; detected ones have moved borders, and a
    few are missing. The protocols choose the queries. Unlabelled people are left out.
    """

    def image(self, root: Path, scene: ScenePlan) -> Path:
        """The path of a picture, which is needed for its crops only."""
        return root / PARTS / f'{scene.name}.jpg'

    def write(
        self, root: Path, scenes: list[ScenePlan], labels: list[Labels], queries: list[Query]
    ) -> None:
        """Writes all files; see `LayoutWriter.write`."""
        cast = _cast(scenes, labels)
        crops: dict[str, dict[Place, np.ndarray]] = {variable: {} for variable in VARIABLES}
        pictures: dict[int, np.ndarray] = {}
        for (number, row), place in sorted(cast.places.items()):
            if number not in pictures:
                bgr = cv2.imread(str(self.image(root, scenes[number])))
                pictures = {number: cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)}
            box = labels[number].boxes[row].astype(np.float64)
            crops['labeled'][place] = _cut(pictures[number], box)
            rng = np.random.default_rng([_DETECTOR_STREAM, number, row])
            if rng.random() >= _DETECTOR_MISSES:
                size = box[2:] - box[:2]
                moved = box + rng.normal(0, _DETECTOR_NOISE, 4) * np.tile(size, 2)
                crops['detected'][place] = _cut(pictures[number], moved)
        write_cuhk03(root, crops, cast.people, _splits(cast), cast.tested)


def _cast(scenes: list[ScenePlan], labels: list[Labels]) -> _Cast:
    seen: dict[int, dict[int, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    for number, (scene, label) in enumerate(zip(scenes, labels, strict=True)):
        for row in np.flatnonzero(label.person_ids >= 0).tolist():
            seen[int(label.person_ids[row])][scene.camera].append((number, row))
    cameras = {
        person: sorted(sorted(by_camera, key=lambda c: (-len(by_camera[c]), c))[:2])
        for person, by_camera in seen.items()
    }
    cast = _Cast()
    for pair, first in enumerate(sorted({pair[0] for pair in cameras.values()}), 1):
        members = [person for person in sorted(seen) if cameras[person][0] == first]
        if len(members) > MAX_PEOPLE:
            raise ValueError(
                f'{len(members)} identities for one camera pair, but the layout has room for '
                f'{MAX_PEOPLE}; give fewer identities'
            )
        cast.people.append(len(members))
        for k, person in enumerate(members, 1):
            for view, camera in enumerate(cameras[person]):
                best = sorted(seen[person][camera], key=lambda at: -labels[at[0]].visible[at[1]])
                for shot, at in enumerate(sorted(best[: SHOTS // 2]), 1):
                    cast.places[at] = (pair, k, view * SHOTS // 2 + shot)
            if scenes[next(iter(seen[person].values()))[0][0]].is_test:
                cast.tested.append((pair, k))
    return cast


def _splits(cast: _Cast) -> list[list[tuple[int, int]]]:
    """Test people of the classic splits, drawn among all people."""
    everybody = [(pair, k) for pair, n in enumerate(cast.people, 1) for k in range(1, n + 1)]
    size = min(MAX_SPLIT_PEOPLE, max(1, len(everybody) // 2))
    rng = np.random.default_rng(_SPLIT_STREAM)
    chosen = [np.sort(rng.permutation(len(everybody))[:size]) for _ in range(SPLITS)]
    return [[everybody[n] for n in split] for split in chosen]


def _cut(picture: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The part of a picture in a box, whose borders may lie outside."""
    height, width = picture.shape[:2]
    x1, y1 = np.floor(np.clip(box[:2], 0, (width - 1, height - 1))).astype(int)
    x2, y2 = np.ceil(np.clip(box[2:], (x1 + 1, y1 + 1), (width, height))).astype(int)
    return picture[y1:y2, x1:x2]
