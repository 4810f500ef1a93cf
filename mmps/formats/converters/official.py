"""Data sets in their authors' files as COCO-style JSON, and any data set in PRW's layout."""

from __future__ import annotations

import csv
import itertools
import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image
from tqdm import tqdm

from mmps.evaluation.functional.annotations import UNLABELLED
from mmps.formats.coco import UNKNOWN_CAMERA, write_coco
from mmps.formats.loading import load_scenes
from mmps.formats.prw import to_rows, write_prw
from mmps.formats.scene_index import SceneFiles, SceneIndex
from mmps.utils.image_files import decode_upright
from mmps.utils.image_folder import ImageFolder

from .annotated_images import NO_AREA, Tally, measure_images

REENCODED = 'images written anew as JPEG, because PRW has no other kind'
ROUNDED = 'boxes with fractions or outside the image, cut as PRW is read: to whole pixels, at 0'
GALLERIES = 'galleries left out, PRW searches every image'
JPEG_QUALITY = 95


def convert_split(files: SceneFiles, path: Path, tally: Tally) -> SceneIndex:
    """Write one split of a data set in COCO style; reading it back gives the index returned."""
    index, removed = load_scenes(files)
    tally.add(NO_AREA, ''.join(removed[:1]), len(removed))
    files.prepare()
    sizes = measure_images(ImageFolder(files.image_root), [frame.name for frame in index.frames])
    write_coco(path, index, test_mode=files.test_mode, sizes=sizes)
    return index


def write_prw_layout(
    out: Path,
    files: Mapping[str, SceneFiles],
    *,
    tally: Tally,
    unknown_camera: int | None = None,
) -> dict[str, SceneIndex]:
    """Write ``frames/``, ``annotations/``, the lists of frames and ids, and ``query_info.txt``.

    Frames get PRW's names, ``c{camera}s1_{number}.jpg``; ``names.csv`` keeps the old ones. Training
    ids count from 1, test ids stay. ``out`` appears when it is whole.

    Args:
        out: Folder to make; a ``FileExistsError`` if there is one.
        files: What to read, by ``'train'`` and ``'test'``, and what is returned once it is read.
        tally: Counts what PRW's layout cannot hold.
        unknown_camera: Camera of the frames whose camera is unknown.
    """
    if out.exists():
        raise FileExistsError(f'{out} exists; give a folder that does not, or remove it')
    splits = {split: load_scenes(source)[0] for split, source in files.items()}
    serial = itertools.count()
    names: dict[str, dict[str, str]] = {split: {} for split in splits}
    for split, index in splits.items():
        for frame in index.frames:
            camera = unknown_camera if frame.camera == UNKNOWN_CAMERA else frame.camera
            if camera is None:
                raise ValueError(
                    f'{frame.source}: the camera is unknown, and the names of PRW begin with it; '
                    'give its cam_id, or a number for all such images'
                )
            names[split][frame.name] = f'c{camera}s1_{next(serial):06d}'
    for source in files.values():
        source.prepare()
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f'.{out.name}.', dir=out.parent) as folder:
        root = Path(folder, out.name)
        (root / 'frames').mkdir(parents=True)
        for split, index in splits.items():
            _write_split(root, split, index, names[split], files[split].image_root, tally)
        with open(root / 'names.csv', 'w', newline='') as file:
            writer = csv.writer(file)
            writer.writerow(('prw_name', 'name', 'split'))
            for split, pairs in names.items():
                writer.writerows((f'{new}.jpg', old, split) for old, new in pairs.items())
        root.rename(out)
    return splits


def _write_split(
    out: Path,
    split: str,
    index: SceneIndex,
    names: Mapping[str, str],
    image_root: Path,
    tally: Tally,
) -> None:
    """Write images, annotations and lists of one split, whose frames get the ``names``."""
    folder = ImageFolder(image_root)
    first_id = 0 if split == 'test' else 1
    people: dict[str, np.ndarray] = {}
    for frame in tqdm(index.frames, f'Writing {split} frames', delay=2, leave=False):
        name = names[frame.name]
        _write_image(Path(folder.path(frame.name)), out / 'frames' / f'{name}.jpg', tally)
        for row in np.flatnonzero((frame.bboxes != np.trunc(frame.bboxes.clip(min=0))).any(1)):
            tally.add(ROUNDED, f'{frame.source} (row {row})')
        ids = frame.person_ids + first_id * (frame.person_ids != UNLABELLED)
        people[name] = to_rows(frame.bboxes, ids)
    queries = [
        (names[query.image_name], to_rows(query.bbox[None], np.array([query.person_id]))[0])
        for query in index.queries
    ]
    write_prw(out, split, people, queries, ids=range(1, index.num_ids + 1))
    tally.add(GALLERIES, ', '.join(map(str, index.galleries)), len(index.galleries))


def _write_image(source: Path, target: Path, tally: Tally) -> None:
    if not source.is_file():
        raise FileNotFoundError(f'{source}: this image is missing')
    if source.suffix.lower() in ('.jpg', '.jpeg'):
        shutil.copyfile(source, target)
        return
    tally.add(REENCODED, str(source))
    try:
        upright = decode_upright(source.read_bytes())
    except ValueError as error:
        raise ValueError(f'{source}: not a readable image ({error})') from None
    Image.fromarray(upright[:, :, ::-1]).save(target, 'JPEG', quality=JPEG_QUALITY)
