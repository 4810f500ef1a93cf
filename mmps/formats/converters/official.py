"""Data sets in their authors' files, as COCO-style JSON."""

from __future__ import annotations

from pathlib import Path

from mmps.formats.coco.writer import write_coco
from mmps.formats.loading import load_scenes
from mmps.formats.scene_index import SceneFiles, SceneIndex

from .tagged_images import measure_images
from .tally import Tally

NO_AREA = 'boxes without area, left out'


def convert_split(files: SceneFiles, path: Path, tally: Tally) -> SceneIndex:
    """Write one split of a data set; reading it back gives the index that is returned.

    Raises:
        FileNotFoundError: A file or an image of the data set is missing.
        ValueError: A file is unreadable or contradicts its layout.
    """
    index, removed = load_scenes(files)
    tally.add(NO_AREA, ''.join(removed[:1]), len(removed))
    files.prepare()
    sizes = measure_images(files.image_root, [frame.name for frame in index.frames])
    write_coco(path, index, test_mode=files.test_mode, sizes=sizes)
    return index
