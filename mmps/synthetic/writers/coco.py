"""COCO-style JSON with person ids, the layout of people's own cameras (docs/own_data.md)."""

import json
from pathlib import Path

import cv2

from mmps.synthetic.files import write_bytes
from mmps.synthetic.planning import Labels, Query, ScenePlan

IMAGES = 'images'


class CocoWriter:
    """Writes images/camera_N/, train.json and test.json."""

    def image(self, root: Path, scene: ScenePlan) -> Path:
        """The path of a picture."""
        return root / IMAGES / f'camera_{scene.camera + 1}' / f'{scene.name}.jpg'

    def write(
        self, root: Path, scenes: list[ScenePlan], labels: list[Labels], queries: list[Query]
    ) -> None:
        """Writes both annotation files; see `LayoutWriter.write`."""
        asked = {(query.scene, query.row) for query in queries}
        for split, is_test in (('train', False), ('test', True)):
            images: list[dict] = []
            annotations: list[dict] = []
            for number, (scene, people) in enumerate(zip(scenes, labels, strict=True)):
                if scene.is_test != is_test:
                    continue
                images.append(self._image(root, scene, len(images) + 1))
                for row in range(len(people.boxes)):
                    entry = _annotation(people, row, len(annotations) + 1, len(images))
                    if (number, row) in asked:
                        entry['is_query'] = True
                    annotations.append(entry)
            content = {
                'images': images,
                'annotations': annotations,
                'categories': [{'id': 1, 'name': 'person'}],
            }
            write_bytes(root / f'{split}.json', json.dumps(content).encode())

    def _image(self, root: Path, scene: ScenePlan, image_id: int) -> dict:
        path = self.image(root, scene)
        height, width = cv2.imread(str(path)).shape[:2]
        return {
            'id': image_id,
            'file_name': path.relative_to(root / IMAGES).as_posix(),
            'width': width,
            'height': height,
            'cam_id': scene.camera + 1,
        }


def _annotation(people: Labels, row: int, annotation_id: int, image_id: int) -> dict:
    x1, y1, x2, y2 = (float(value) for value in people.boxes[row])
    return {
        'id': annotation_id,
        'image_id': image_id,
        'category_id': 1,
        'bbox': [x1, y1, x2 - x1, y2 - y1],
        'area': (x2 - x1) * (y2 - y1),
        'iscrowd': 0,
        'person_id': int(people.person_ids[row]),
    }
