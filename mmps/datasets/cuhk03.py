"""CUHK03 (Li et al., "DeepReID", CVPR 2014), as it is shipped."""

from __future__ import annotations

from typing import Any

from mmps.datasets.person_search_dataset import PersonSearchDataset
from mmps.formats.cuhk03 import CUHK03Files, crop_folder
from mmps.registry import DATASETS


@DATASETS.register_module()
class CUHK03Dataset(PersonSearchDataset):
    """CUHK03: about 14,100 crops of 1,467 identities, each a scene with one person.

    Reads the files below ``data_root`` as they are shipped, see
    :class:`~mmps.formats.cuhk03.CUHK03Files` for them and for the protocols. The crops are unpacked
    to ``cuhk03_release/images_{boxes}`` the first time.

    Example:
        >>> dataset = CUHK03Dataset(data_root='data/cuhk03', boxes='detected', lazy_init=True)
        >>> dataset.data_prefix['img']
        'data/cuhk03/cuhk03_release/images_detected'

    Args:
        boxes: ``'labelled'`` by hand or ``'detected'`` by a part-based detector.
        protocol: ``'new'`` (767 training and 700 test identities) or ``'classic'`` (100 test
            identities).
        classic_split: Which of the 20 classic splits, from 0.
        **kwargs: As for :class:`PersonSearchDataset`, but ``data_prefix``.

    Raises:
        FileNotFoundError: A file of the layout is missing.
        ValueError: A file is unreadable or contradicts the layout, or an option is unknown.
    """

    FILES = CUHK03Files

    def __init__(
        self,
        *,
        boxes: str = 'labelled',
        protocol: str = 'new',
        classic_split: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            data_prefix=dict(img=crop_folder(boxes)),
            files_options=dict(boxes=boxes, protocol=protocol, classic_split=classic_split),
            **kwargs,
        )
