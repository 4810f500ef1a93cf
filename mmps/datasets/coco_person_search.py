"""Person-search annotations in COCO style, the form to bring one's own data in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmps.datasets.person_search_dataset import PersonSearchDataset
from mmps.formats.coco import CocoPersonSearchFiles
from mmps.registry import DATASETS


@DATASETS.register_module()
class CocoPersonSearchDataset(PersonSearchDataset):
    """COCO-style JSON with person ids; see :class:`~mmps.formats.coco.CocoPersonSearchFiles`.

    Example:
        >>> dataset = CocoPersonSearchDataset(
        ...     data_root='data/my_cameras', ann_file='train.json', lazy_init=True
        ... )
        >>> dataset.data_prefix['img']
        'data/my_cameras/images'

    Args:
        ann_file: The JSON file, relative to ``data_root``. None: ``train.json`` or ``test.json``.
        image_folder: What ``file_name`` is relative to, relative to ``data_root``.
        default_queries: ``'first_per_camera'`` makes queries for a test file that names none; None
            refuses such a file.
        id_key: Where annotations keep the person id.
        unlabelled_ids: Ids that stand for "nobody knows who".
        **kwargs: As for :class:`PersonSearchDataset`, but ``data_prefix``.

    Raises:
        FileNotFoundError: The JSON file or a listed image is missing.
        ValueError: The file contradicts the schema; the message names the position and the fix.
    """

    FILES = CocoPersonSearchFiles

    def __init__(
        self,
        *,
        ann_file: str | None = None,
        image_folder: str = 'images',
        default_queries: str | None = None,
        id_key: str = 'person_id',
        unlabelled_ids: Sequence[int] = (-1, -2),
        **kwargs: Any,
    ) -> None:
        super().__init__(
            data_prefix=dict(img=image_folder),
            files_options=dict(
                ann_file=ann_file,
                image_folder=image_folder,
                default_queries=default_queries,
                id_key=id_key,
                unlabelled_ids=unlabelled_ids,
            ),
            **kwargs,
        )
