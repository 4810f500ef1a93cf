"""Base class of every person-search data set."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.datasets import BaseDetDataset
from mmengine.logging import print_log

from mmps.datasets.samplers import seeded_by
from mmps.datasets.transforms import BrokenImageError
from mmps.evaluation.functional.annotations import UNLABELLED, SearchAnnotations
from mmps.formats.loading import drop_boxes_outside, load_scenes
from mmps.formats.scene_index import Frame, SceneFiles, SceneIndex, to_search_annotations
from mmps.utils.errors import data_errors
from mmps.utils.image_files import open_image
from mmps.utils.image_folder import ImageFolder

_BOXES_NAMED = 5


class PersonSearchDataset(BaseDetDataset):
    """Scene images with boxes, person ids, cameras and queries.

    A subclass names its files in ``FILES`` and takes their fields as further arguments; checks,
    data entries and the evaluation protocol are the same for all. Boxes outside their training
    image are left out with a warning, for which every header is read. Person ids travel through
    the pipeline as ``bbox_label``: every transform keeps labels aligned with boxes, and
    ``PackPersonSearchInputs`` makes ids of them.

    Nothing is read before ``full_init``, so an inferencer can build the data set without its files
    (``lazy_init=True``).

    Example:
        >>> from mmps.formats.prw import PRWFiles
        >>> class Cameras(PersonSearchDataset):
        ...     FILES = PRWFiles
        >>> Cameras(data_root='data/cameras', lazy_init=True).metainfo['classes']
        ('person',)

    Args:
        data_root: Folder in the layout the data set's authors ship.
        test_mode: Load the test split and its queries instead of the training split.
        data_prefix: ``dict(img=...)``, the image folder inside ``data_root``; None takes the
            authors' name of it.
        filter_cfg: ``dict(labelled_only=True)`` drops training images without a labelled person.
            Off by default, because unlabelled people still train detection and fill OIM's queue.
        skip_broken_images: Replace a training image that cannot be decoded by another one, with a
            warning. Evaluation never skips: that would change the gallery.
        with_sizes: Read the size of every image from its header, as mmdet's
            ``AspectRatioBatchSampler`` needs.
        files_options: Further fields of ``FILES``.
        **kwargs: As for mmdet's ``BaseDetDataset``.

    Raises:
        FileNotFoundError: An annotation file or a listed image is missing.
        DataError: An option is out of range, or annotations contradict the layout; the message
            names file and row.
    """

    METAINFO = dict(classes=('person',), palette=[(220, 20, 60)])
    FILES: type[SceneFiles]

    @data_errors()
    def __init__(
        self,
        *,
        data_root: str,
        test_mode: bool = False,
        data_prefix: dict | None = None,
        filter_cfg: dict | None = None,
        skip_broken_images: bool = False,
        with_sizes: bool = False,
        files_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if test_mode and skip_broken_images:
            raise ValueError('skip_broken_images is for training: it would change the test gallery')
        if test_mode and kwargs.get('indices') is not None:
            raise ValueError('indices is for training: it would cut images out of the test gallery')
        unknown = set(filter_cfg or {}) - {'labelled_only'}
        if unknown:
            raise ValueError(f'filter_cfg: unknown key {unknown.pop()!r}; labelled_only is known')
        self.skip_broken_images = skip_broken_images
        self.with_sizes = with_sizes
        self._broken_images: set[str] = set()
        self._num_ids = 0
        options = {field.name for field in fields(self.FILES)} & kwargs.keys()
        options = {**(files_options or {}), **{name: kwargs.pop(name) for name in options}}
        self.files = self.FILES(root=Path(data_root), test_mode=test_mode, **options)
        super().__init__(
            data_root=data_root,
            test_mode=test_mode,
            data_prefix=data_prefix or dict(img=self.files.image_folder),
            filter_cfg=filter_cfg,
            **kwargs,
        )

    @property
    def num_ids(self) -> int:
        """Number of training identities; 0 for a test split."""
        self.full_init()
        return self._num_ids

    @property
    def search_annotations(self) -> SearchAnnotations:
        """Ground truth and protocol of a test split, as ``metainfo['search_annotations']``.

        Raises:
            RuntimeError: This is a training split.
        """
        if not self.test_mode:
            raise RuntimeError('a training split has no search protocol; build it with test_mode')
        self.full_init()
        return self._metainfo['search_annotations']

    @data_errors()
    def full_init(self) -> None:
        """Read the files, unless they have been read."""
        super().full_init()

    def load_data_list(self) -> list[dict]:
        """One entry per image; see the class for where person ids are kept."""
        index, removed = load_scenes(self.files)
        self.files.prepare()
        paths = self._find_images(index.frames)
        self._num_ids = index.num_ids
        sizes = self._read_sizes(paths) if self.with_sizes or not self.test_mode else []
        if not self.test_mode:
            frames, outside = drop_boxes_outside(index.frames, sizes)
            index = replace(index, frames=frames)
            if outside:
                _warn(
                    f'{type(self).__name__}: left out {len(outside)} boxes outside their image: '
                    f'{"; ".join(outside[:_BOXES_NAMED])}{"; ..." * (len(outside) > _BOXES_NAMED)}'
                )
        self._log_summary(index, removed)
        entries = {}
        for frame, path in zip(index.frames, paths, strict=True):
            people = zip(frame.bboxes.tolist(), frame.person_ids.tolist(), strict=True)
            instances = [dict(bbox=b, bbox_label=i, ignore_flag=0) for b, i in people]
            entries[frame.name] = dict(
                img_path=path, img_name=frame.name, cam_id=frame.camera, instances=instances
            )
        if self.with_sizes:
            for entry, size in zip(entries.values(), sizes, strict=True):
                entry['width'], entry['height'] = size or (0, 0)
        if self.test_mode:
            self._metainfo['search_annotations'] = to_search_annotations(index)
            for entry in entries.values():
                entry.update(query_ids=[], query_bboxes=[])
            for row, query in enumerate(index.queries):
                entries[query.image_name]['query_ids'].append(row)
                entries[query.image_name]['query_bboxes'].append(query.bbox.tolist())
        return list(entries.values())

    def filter_data(self) -> list[dict]:
        """Apply ``filter_cfg`` to a training split and number the images that stay."""
        if self.filter_cfg and self.filter_cfg.get('labelled_only') and not self.test_mode:
            self.data_list = [
                entry
                for entry in self.data_list
                if any(instance['bbox_label'] != UNLABELLED for instance in entry['instances'])
            ]
        if not self.data_list:
            raise ValueError(f'{self.data_root}: this split has no image to train or test on')
        for position, entry in enumerate(self.data_list):
            entry['img_id'] = position
        return self.data_list

    def __getitem__(self, idx: int) -> dict:
        """The sample at ``idx``; a ``SeededIndex`` makes its augmentation reproducible."""
        with seeded_by(idx):
            return super().__getitem__(idx)

    def prepare_data(self, idx: int) -> dict | None:
        """Run the pipeline; None, which mmengine takes as "draw another", for a skipped image."""
        try:
            return super().prepare_data(idx)
        except BrokenImageError as error:
            if not self.skip_broken_images:
                raise
            # An image comes round every epoch, and saying it once per process is enough.
            if error.path not in self._broken_images:
                self._broken_images.add(error.path)
                number = len(self._broken_images)
                _warn(f'Skipped a broken image, number {number} in this process: {error}')
            return None

    def _read_sizes(self, paths: Sequence[str]) -> list[tuple[int, int] | None]:
        """(width, height) of each image, None where its header cannot be read."""
        # Threads hide the latency of network file systems, where headers are slow to come.
        with ThreadPoolExecutor(max_workers=16) as pool:
            headers = list(pool.map(open_image, map(Path, paths)))
        for header in headers:
            # Without sizes it is refused when it is loaded; if skipped, another stands in for it.
            if isinstance(header, Exception) and self.with_sizes and not self.skip_broken_images:
                raise header
        return [None if isinstance(h, Exception) else (h.width, h.height) for h in headers]

    def _find_images(self, frames: Sequence[Frame]) -> list[str]:
        """Where the image of each frame is; its name may be spelled in another way there."""
        folder = ImageFolder(self.data_prefix['img'])
        found = folder.find_all(
            [frame.name for frame in frames],
            f'. data_root is {self.data_root!r}; unpack the images there or point data_root at the '
            'folder that holds them',
        )
        listed: dict[str, str] = {}
        for frame, name in zip(frames, found, strict=True):
            before = listed.setdefault(os.path.normpath(name), frame.name)
            if before != frame.name:
                raise ValueError(
                    f'{frame.source}: {frame.name!r} and {before!r} are one file, {name!r}; list '
                    'it once'
                )
        return [os.path.join(folder.root, name) for name in found]

    def _log_summary(self, index: SceneIndex, removed: list[str]) -> None:
        ids = index.arrays()['person_ids']
        labelled = ids[ids != UNLABELLED]
        print_log(
            f'{type(self).__name__} ({"test" if self.test_mode else "train"}) in {self.data_root}: '
            f'{len(index.frames)} images, {len(ids)} people, {len(labelled)} of them labelled with '
            f'{len(np.unique(labelled))} identities, {len(index.queries)} queries',
            logger='current',
        )
        if removed:
            _warn(
                f'{type(self).__name__}: left out {len(removed)} boxes without area, the first in '
                f'{removed[0]}'
            )


def _warn(message: str) -> None:
    print_log(message, logger='current', level=logging.WARNING)
