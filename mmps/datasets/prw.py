"""PRW (Zheng et al., "Person Re-identification in the Wild", CVPR 2017), as it is shipped."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
from scipy.io import loadmat
from tqdm import tqdm

from mmps.datasets.person_search_dataset import PersonSearchDataset
from mmps.datasets.scene_index import Frame, Query, SceneIndex
from mmps.evaluation.functional.annotations import UNLABELLED
from mmps.registry import DATASETS

BOX_KEYS = ('box_new', 'anno_file', 'anno_previous')
"""Keys an annotation file may hold its boxes under, the one to prefer first."""

_NEGATIVE_IDS = (-2, UNLABELLED)
_CAMERA = re.compile(r'c(\d+)s\d+_')


@DATASETS.register_module()
class PRWDataset(PersonSearchDataset):
    """PRW: 11,816 frames of six cameras; 483 training identities, 2,057 queries.

    Reads ``frames/``, ``annotations/``, ``frame_train.mat``, ``frame_test.mat``, ``ID_train.mat``
    and ``query_info.txt`` below ``data_root`` as they are shipped, and any folder in that layout.
    Training ids are ranks in the sorted ``ID_train`` (0..482): the raw ids leave out 479 and end
    with 932, so that "raw id minus one" is not a class index. Test ids stay raw.

    Args:
        **kwargs: As for :class:`PersonSearchDataset`.

    Raises:
        FileNotFoundError: A file of the layout is missing.
        ValueError: A file is unreadable or contradicts the layout.
    """

    IMAGE_FOLDER = 'frames'

    def load_index(self) -> SceneIndex:
        root = Path(self.data_root)
        split = 'test' if self.test_mode else 'train'
        names = read_frame_names(root / f'frame_{split}.mat', f'img_index_{split}')
        ranks = None if self.test_mode else read_id_ranks(root / 'ID_train.mat')
        frames = [
            read_frame(root / 'annotations', name, ranks)
            for name in tqdm(names, f'Reading PRW {split} annotations', delay=2, leave=False)
        ]
        if self.test_mode:
            return SceneIndex(frames, 0, read_queries(root / 'query_info.txt'))
        return SceneIndex(frames, len(ranks))


def read_mat(path: Path) -> dict[str, np.ndarray]:
    """The variables of a MATLAB file up to version 7.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Truncated, of version 7.3, or not a MATLAB file.
    """
    try:
        with open(path, 'rb') as file:  # given a path, loadmat misreports a missing file
            content = loadmat(file)
    except FileNotFoundError:
        raise FileNotFoundError(
            f'{path}: this file of the PRW layout is missing; point data_root at the folder that '
            'holds frames/, annotations/ and the .mat files'
        ) from None
    except NotImplementedError:
        raise ValueError(f'{path}: saved as MATLAB 7.3; save it with "-v7"') from None
    except Exception as error:  # scipy raises half a dozen types, IndexError included
        raise ValueError(
            f'{path}: cannot be read as a MATLAB file ({type(error).__name__}: {error}); it may be '
            'truncated, unpack it again'
        ) from error
    return {key: value for key, value in content.items() if not key.startswith('__')}


def _pick(content: dict[str, np.ndarray], keys: tuple[str, ...], path: Path) -> np.ndarray:
    for key in keys:
        if key in content:
            return content[key]
    raise ValueError(
        f'{path}: no key {" or ".join(keys)} in it, but {", ".join(content) or "nothing"}'
    )


def read_frame_names(path: Path, key: str) -> list[str]:
    """Image names of ``frame_train.mat`` or ``frame_test.mat``, with their suffix."""
    cells = _pick(read_mat(path), (key,), path)
    return [f'{np.ravel(cell)[0].strip()}.jpg' for cell in cells.ravel()]


def read_id_ranks(path: Path) -> dict[int, int]:
    """Raw training id -> rank among the sorted raw ids."""
    ids = _pick(read_mat(path), ('ID_train',), path)
    return {int(raw): rank for rank, raw in enumerate(np.unique(ids))}


def camera_of(name: str) -> int:
    """Camera of a frame name such as ``c1s1_000151.jpg``.

    Raises:
        ValueError: The name is of another form.
    """
    match = _CAMERA.match(name)
    if match is None:
        raise ValueError(f'{name!r}: a PRW frame is called cXsY_FFFFFF.jpg, X being its camera')
    return int(match[1])


def read_frame(folder: Path, name: str, ranks: dict[int, int] | None) -> Frame:
    """Read the people of one frame.

    Args:
        folder: The folder of annotation files.
        name: Image name.
        ranks: Raw training id -> class index; None keeps raw ids.
    """
    path = folder / f'{name}.mat'
    rows = _pick(read_mat(path), BOX_KEYS, path)
    if rows.size == 0:
        rows = np.empty((0, 5))
    if rows.ndim != 2 or rows.shape[1] != 5 or rows.dtype.kind not in 'fiu':
        raise ValueError(
            f'{path}: shape {rows.shape} of {rows.dtype}; rows of id, x, y, width, height expected'
        )
    rows = rows.astype(np.float64)
    return Frame(
        name=name,
        bboxes=frame_boxes(rows[:, 1:]),
        person_ids=_person_ids(rows[:, 0], ranks, path),
        source=str(path),
        camera=camera_of(name),
    )


def frame_boxes(xywh: np.ndarray) -> np.ndarray:
    """Boxes of frames, (n, 4) xywh -> (n, 4) float32 xyxy.

    In this order: negative values become 0, then corners, then the fraction is cut off. The field
    scores PRW on such boxes, and at the edge of the IoU threshold the order shows.
    """
    xywh = xywh.clip(min=0)
    return np.trunc(np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1), dtype=np.float32)


def query_box(xywh: np.ndarray) -> np.ndarray:
    """Box of a query, (4,) xywh -> (4,) float32 xyxy: corners, then cut off, then clipped at 0."""
    corners = np.concatenate([xywh[:2], xywh[:2] + xywh[2:]])
    return np.trunc(corners, dtype=np.float32).clip(min=0)


def _person_ids(raw: np.ndarray, ranks: dict[int, int] | None, path: Path) -> np.ndarray:
    ids = np.empty(len(raw), np.int64)
    for row, value in enumerate(raw):
        if value in _NEGATIVE_IDS:
            ids[row] = UNLABELLED
        elif not (value >= 0 and value == int(value)):
            raise ValueError(
                f'{path}: row {row} (counted from 0) has the id {value}; an id is a whole number, '
                '-2 for an unlabelled person'
            )
        elif ranks is None:
            ids[row] = int(value)
        elif int(value) in ranks:
            ids[row] = ranks[int(value)]
        else:
            raise ValueError(
                f'{path}: id {int(value)} (row {row}, counted from 0) of a training frame is not '
                f'among the {len(ranks)} ids of ID_train.mat; add it there or mark the person as '
                'unlabelled (-2)'
            )
    return ids


def read_queries(path: Path) -> list[Query]:
    """Read ``query_info.txt``: lines of id, x, y, width, height, name, ended by CRLF or LF."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f'{path}: this file of the PRW layout is missing')
    queries = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        source = f'{path}, line {number}'
        try:
            person_id, *xywh = (float(value) for value in fields[:5])
            (name,) = fields[5:]
        except ValueError:
            raise ValueError(
                f'{source}: {line!r} is not "id x y width height image_name"'
            ) from None
        if not (person_id >= 0 and person_id.is_integer()):
            raise ValueError(f'{source}: {fields[0]} is not the id of a labelled person')
        queries.append(Query(f'{name}.jpg', query_box(np.array(xywh)), int(person_id), source))
    return queries
