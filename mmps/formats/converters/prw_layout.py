"""Scene indices of any format as a folder in PRW's layout."""

from __future__ import annotations

import csv
import itertools
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat
from tqdm import tqdm

from mmps.evaluation.functional.annotations import UNLABELLED
from mmps.formats.coco.scenes import UNKNOWN_CAMERA
from mmps.formats.loading import load_scenes
from mmps.formats.scene_index import Frame, SceneFiles, SceneIndex
from mmps.utils.image_decoding import decode_upright
from mmps.utils.image_folder import ImageFolder

from .tally import Tally

REENCODED = 'images written anew as JPEG, because PRW has no other kind'
ROUNDED = 'boxes with fractions or outside the image, cut as PRW is read: to whole pixels, at 0'
GALLERIES = 'galleries left out, PRW searches every image'
JPEG_QUALITY = 95

_SUFFIXES = ('.jpg', '.jpeg')
_PRW_UNLABELLED = -2


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
        out: Folder to make.
        files: What to read, by ``'train'`` and ``'test'``.
        tally: Counts what PRW's layout cannot hold.
        unknown_camera: Camera of the frames whose camera is unknown.

    Returns:
        What was read, by split.

    Raises:
        FileExistsError: ``out`` exists.
        FileNotFoundError: A file or an image is missing.
        ValueError: A file is unreadable or a camera is unknown.
    """
    if out.exists():
        raise FileExistsError(f'{out} exists; give a folder that does not, or remove it')
    splits = {split: load_scenes(source)[0] for split, source in files.items()}
    for source in files.values():
        source.prepare()
    temporary = out.with_name(f'.{out.name}.tmp')
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        for folder in ('frames', 'annotations'):
            (temporary / folder).mkdir(parents=True)
        names = _prw_names(splits, unknown_camera)
        for split, index in splits.items():
            root = files[split].image_root
            _write_frames(temporary, split, index, names[split], root, tally)
        _write_ids(temporary, splits)
        _write_queries(temporary / 'query_info.txt', splits['test'], names['test'])
        _write_names(temporary / 'names.csv', names)
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return splits


def _prw_names(
    splits: Mapping[str, SceneIndex], unknown_camera: int | None
) -> dict[str, dict[str, str]]:
    """For each split the name, without its suffix, that each frame gets."""
    names, serial = {}, itertools.count()
    for split, index in splits.items():
        names[split] = {
            frame.name: f'c{_camera(frame, unknown_camera)}s1_{next(serial):06d}'
            for frame in index.frames
        }
    return names


def _write_frames(
    out: Path,
    split: str,
    index: SceneIndex,
    names: Mapping[str, str],
    image_root: Path,
    tally: Tally,
) -> None:
    """Write images, annotations and the list of one split."""
    folder = ImageFolder(image_root)
    for frame in tqdm(index.frames, f'Writing {split} frames', delay=2, leave=False):
        name = names[frame.name]
        _write_image(Path(folder.path(frame.name)), out / 'frames' / f'{name}.jpg', tally)
        rows = _rows(frame, split, tally)
        savemat(out / 'annotations' / f'{name}.jpg.mat', {'box_new': rows})
    cells = np.empty((len(names), 1), object)
    cells[:, 0] = list(names.values())
    savemat(out / f'frame_{split}.mat', {f'img_index_{split}': cells})
    tally.add(GALLERIES, ', '.join(map(str, index.galleries)), len(index.galleries))


def _write_queries(path: Path, index: SceneIndex, names: Mapping[str, str]) -> None:
    lines = [
        (query.person_id, *_xywh(query.bbox[None])[0].tolist(), names[query.image_name])
        for query in index.queries
    ]
    path.write_text(''.join(' '.join(map(str, line)) + '\n' for line in lines))


def _write_names(path: Path, names: Mapping[str, Mapping[str, str]]) -> None:
    with open(path, 'w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(('prw_name', 'name', 'split'))
        for split, pairs in names.items():
            writer.writerows((f'{new}.jpg', old, split) for old, new in pairs.items())


def _write_ids(out: Path, splits: Mapping[str, SceneIndex]) -> None:
    ids = {frame_id for f in splits['test'].frames for frame_id in f.person_ids.tolist()}
    test = sorted(ids - {UNLABELLED})
    train = range(1, splits['train'].num_ids + 1)
    savemat(out / 'ID_train.mat', {'ID_train': np.array([train], np.float64)})
    savemat(out / 'ID_test.mat', {'ID_test2': np.array([test], np.float64)})


def _camera(frame: Frame, unknown_camera: int | None) -> int:
    if frame.camera != UNKNOWN_CAMERA:
        return frame.camera
    if unknown_camera is None:
        raise ValueError(
            f'{frame.source}: the camera is unknown, and the names of PRW begin with it; give its '
            'cam_id, or a number for all such images'
        )
    return unknown_camera


def _write_image(source: Path, target: Path, tally: Tally) -> None:
    if not source.is_file():
        raise FileNotFoundError(f'{source}: this image is missing')
    if source.suffix.lower() in _SUFFIXES:
        shutil.copyfile(source, target)
        return
    tally.add(REENCODED, str(source))
    try:
        upright = decode_upright(source.read_bytes())
    except ValueError as error:
        raise ValueError(f'{source}: not a readable image ({error})') from None
    Image.fromarray(upright[:, :, ::-1]).save(target, 'JPEG', quality=JPEG_QUALITY)


def _rows(frame: Frame, split: str, tally: Tally) -> np.ndarray:
    """(n, 5) rows of id, x, y, width, height as PRW's annotation files have them."""
    ids = frame.person_ids + (1 if split == 'train' else 0)
    ids = np.where(frame.person_ids == UNLABELLED, _PRW_UNLABELLED, ids)
    for row in np.flatnonzero((frame.bboxes != np.trunc(frame.bboxes.clip(min=0))).any(1)):
        tally.add(ROUNDED, f'{frame.source} (row {row})')
    return np.concatenate([ids[:, None], _xywh(frame.bboxes)], 1).astype(np.float64)


def _xywh(bboxes: np.ndarray) -> np.ndarray:
    """(n, 4) xyxy -> (n, 4) xywh inside the upper and left edge.

    PRW's files are read by moving a corner without its opposite, so none may lie beyond 0.
    """
    corners = bboxes.astype(np.float64).clip(min=0)
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1)
