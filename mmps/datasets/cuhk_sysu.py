"""CUHK-SYSU (Xiao et al., "Joint Detection and Identification Feature Learning for Person Search",
CVPR 2017), as it is shipped."""

from collections.abc import Sequence
from typing import Any

from mmps.datasets.person_search_dataset import PersonSearchDataset
from mmps.formats.cuhk_sysu import CUHKSYSUFiles
from mmps.registry import DATASETS


@DATASETS.register_module()
class CUHKSYSUDataset(PersonSearchDataset):
    """CUHK-SYSU: 18,184 street and film scenes; 5,532 training identities, 2,900 queries.

    Reads the files below ``data_root`` as they are shipped, and any folder in that layout; see
    :class:`~mmps.formats.cuhk_sysu.CUHKSYSUFiles`.

    Example:
        >>> dataset = CUHKSYSUDataset(
        ...     data_root='data/CUHK-SYSU', test_mode=True, gallery_sizes=(50, 100), lazy_init=True
        ... )
        >>> dataset.files.gallery_sizes
        (50, 100)

    Args:
        gallery_sizes: Protocols ``TestG{size}.mat`` of the test split.
        subsets: Further protocols of the test split: ``'occlusion'``, ``'resolution'``.
        **kwargs: As for :class:`PersonSearchDataset`.

    Raises:
        FileNotFoundError: A file of the layout is missing.
        ValueError: A file is unreadable or contradicts the layout.
    """

    FILES = CUHKSYSUFiles

    def __init__(
        self,
        *,
        gallery_sizes: Sequence[int] = (100,),
        subsets: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        options = dict(gallery_sizes=tuple(gallery_sizes), subsets=tuple(subsets))
        super().__init__(files_options=options, **kwargs)
