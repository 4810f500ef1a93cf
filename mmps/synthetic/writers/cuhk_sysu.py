"""The layout of CUHK-SYSU (Xiao et al., Joint Detection and Identification Feature Learning for
Person Search, 2017)."""

from pathlib import Path

import numpy as np

from mmps.synthetic.cuhk_sysu_files import (
    GALLERY_SIZES,
    Box,
    Entry,
    Search,
    image_path,
    write_images,
    write_pool,
    write_protocol,
    write_train,
)
from mmps.synthetic.planning import Labels, Query, ScenePlan

_GALLERY_STREAM = 7
_SUBSET_SHARES = {'occlusion': 187 / 2900, 'resolution': 290 / 2900}
_SUBSET_GALLERY = 100


class CUHKSYSUWriter:
    """Writes Image/SSM/ and annotation/, with every gallery size that the test images allow.

    The smallest size is always written; where there are too few test images for it, every one but
    the query's is in its galleries.
    """

    def image(self, root: Path, scene: ScenePlan) -> Path:
        """The path of a picture."""
        return image_path(root, f's{scene.index + 1}.jpg')

    def write(
        self, root: Path, scenes: list[ScenePlan], labels: list[Labels], queries: list[Query]
    ) -> None:
        """Writes all annotation files; see `LayoutWriter.write`."""
        names = [self.image(root, scene).name for scene in scenes]
        boxes = [_boxes(label) for label in labels]
        write_images(root, dict(zip(names, boxes, strict=True)))
        pool = [name for name, scene in zip(names, scenes, strict=True) if scene.is_test]
        write_pool(root, pool)
        appearances: dict[bool, dict[int, list[Entry]]] = {False: {}, True: {}}
        for number, (scene, label) in enumerate(zip(scenes, labels, strict=True)):
            for person, box in zip(label.person_ids.tolist(), boxes[number], strict=True):
                if person >= 0:
                    shown = appearances[scene.is_test].setdefault(person, [])
                    shown.append(Entry(names[number], box))
        write_train(root, [appearances[False][person] for person in sorted(appearances[False])])
        asked = [
            (Entry(names[q.scene], boxes[q.scene][q.row]), int(labels[q.scene].person_ids[q.row]))
            for q in queries
        ]
        protocols: dict[int, list[Search]] = {}
        for size in GALLERY_SIZES:
            if size == GALLERY_SIZES[0] or size < len(pool):
                protocols[size] = [
                    _search(number, query, appearances[True][person], pool, size)
                    for number, (query, person) in enumerate(asked)
                ]
                write_protocol(root, size, protocols[size])
        hidden = [1 - labels[q.scene].visible[q.row] for q in queries]
        small = [-query.box[2] * query.box[3] for query, _ in asked]
        searches = protocols[min(_SUBSET_GALLERY, max(protocols))]
        _write_subset(root, 'occlusion', searches, hidden)
        _write_subset(root, 'resolution', searches, small)


def _write_subset(root: Path, name: str, searches: list[Search], measure: list[float]) -> None:
    """Writes the searches with the largest values."""
    number = max(1, round(_SUBSET_SHARES[name] * len(searches)))
    chosen = np.argsort(-np.array(measure), kind='stable')[:number]
    write_protocol(root, name, [searches[k] for k in sorted(chosen.tolist())])


def _boxes(labels: Labels) -> list[Box]:
    """Whole numbers x, y, width, height that keep every box inside its picture."""
    corners = np.concatenate([np.floor(labels.boxes[:, :2]), np.ceil(labels.boxes[:, 2:])], 1)
    corners[:, 2:] -= corners[:, :2]
    return [tuple(row) for row in corners.astype(int).tolist()]


def _search(
    number: int, query: Entry, appearances: list[Entry], pool: list[str], size: int
) -> Search:
    rng = np.random.default_rng([_GALLERY_STREAM, number])
    shown = [entry for entry in appearances if entry.image != query.image][:size]
    taken = {query.image, *(entry.image for entry in appearances)}
    others = [name for name in pool if name not in taken]
    rest = rng.permutation(len(others))[: size - len(shown)]
    return Search(f'p{number + 1}', query, [*shown, *(Entry(others[k]) for k in rest)])
