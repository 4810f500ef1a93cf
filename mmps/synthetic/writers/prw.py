"""The layout of PRW v16.04.20 (Zheng et al., Person Re-identification in the Wild, 2017)."""

from pathlib import Path

import cv2
import numpy as np

from mmps.synthetic.files import names_cell, write_bytes, write_mat
from mmps.synthetic.planning import Labels, Query, ScenePlan

UNLABELLED = -2


class PRWWriter:
    """Writes frames/, annotations/, query_box/ and the lists of frames, ids and queries."""

    def image(self, root: Path, scene: ScenePlan) -> Path:
        """The path of a picture."""
        return root / 'frames' / f'{scene.name}.jpg'

    def write(
        self, root: Path, scenes: list[ScenePlan], labels: list[Labels], queries: list[Query]
    ) -> None:
        """Writes all annotation files; see `LayoutWriter.write`."""
        for folder in ('annotations', 'query_box'):
            (root / folder).mkdir(exist_ok=True)
        rows = [_rows(label) for label in labels]
        for scene, row in zip(scenes, rows, strict=True):
            write_mat(root / 'annotations' / f'{scene.name}.jpg.mat', box_new=row)
        for split, is_test in (('train', False), ('test', True)):
            chosen = [k for k, scene in enumerate(scenes) if scene.is_test == is_test]
            names = names_cell([scenes[k].name for k in chosen])
            write_mat(root / f'frame_{split}.mat', **{f'img_index_{split}': names})
            ids = np.unique(np.concatenate([rows[k][:, 0] for k in chosen]))
            key = 'ID_test2' if is_test else 'ID_train'
            write_mat(root / f'ID_{split}.mat', **{key: ids[ids >= 0][None]})
        lines = []
        for query in queries:
            name, row = scenes[query.scene].name, rows[query.scene][query.row]
            self._write_crop(root, scenes[query.scene], row)
            lines.append(f'{row[0]:.0f} {row[1]:.2f} {row[2]:.2f} {row[3]:.2f} {row[4]:.2f} {name}')
        write_bytes(root / 'query_info.txt', ''.join(f'{line}\r\n' for line in lines).encode())

    def _write_crop(self, root: Path, scene: ScenePlan, row: np.ndarray) -> None:
        picture = cv2.imread(str(self.image(root, scene)))
        x, y, w, h = row[1:].astype(int)
        _, encoded = cv2.imencode('.jpg', picture[y : y + h, x : x + w])
        write_bytes(root / 'query_box' / f'{row[0]:.0f}_{scene.name}.jpg', encoded.tobytes())


def _rows(labels: Labels) -> np.ndarray:
    """(n, 5) float64 rows of pid, x, y, w, h."""
    corner, size = labels.boxes[:, :2], labels.boxes[:, 2:] - labels.boxes[:, :2]
    ids = np.where(labels.person_ids < 0, UNLABELLED, labels.person_ids)
    return np.concatenate([ids[:, None], corner, size], 1).astype(np.float64)
