"""A folder of cameras with a table of boxes, what own data begin with (docs/own_data.md)."""

import csv
import io
from pathlib import Path

from mmps.synthetic.files import write_bytes
from mmps.synthetic.planning import Labels, Query, ScenePlan
from mmps.synthetic.writers.coco import IMAGES, CocoWriter

COLUMNS = ('image', 'x1', 'y1', 'x2', 'y2', 'person_id')


class TableWriter:
    """Writes images/camera_N/ and boxes.csv, without a split and without queries."""

    def image(self, root: Path, scene: ScenePlan) -> Path:
        """The path of a picture."""
        return CocoWriter().image(root, scene)

    def write(
        self, root: Path, scenes: list[ScenePlan], labels: list[Labels], queries: list[Query]
    ) -> None:
        """Writes the table; see `LayoutWriter.write`."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        for scene, people in zip(scenes, labels, strict=True):
            name = self.image(root, scene).relative_to(root / IMAGES).as_posix()
            if not len(people.boxes):
                writer.writerow([name, *[''] * (len(COLUMNS) - 1)])
            for box, person in zip(people.boxes.tolist(), people.person_ids.tolist(), strict=True):
                writer.writerow([name, *(f'{value:g}' for value in box), person])
        write_bytes(root / 'boxes.csv', text.getvalue().encode())
