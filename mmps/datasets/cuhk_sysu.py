"""CUHK-SYSU (Xiao et al., "Joint Detection and Identification Feature Learning for Person Search",
CVPR 2017), as it is shipped."""

from mmps.datasets.person_search_dataset import PersonSearchDataset
from mmps.formats.cuhk_sysu import CUHKSYSUFiles
from mmps.registry import DATASETS


@DATASETS.register_module()
class CUHKSYSUDataset(PersonSearchDataset):
    """CUHK-SYSU: 18,184 street and film scenes; 5,532 training identities, 2,900 queries.

    Reads the files below ``data_root`` as they are shipped, and any folder in that layout.

    Example:
        >>> dataset = CUHKSYSUDataset(
        ...     data_root='data/CUHK-SYSU', test_mode=True, gallery_sizes=(50, 100), lazy_init=True
        ... )
        >>> dataset.files.gallery_sizes
        (50, 100)

    Args:
        **kwargs: ``gallery_sizes`` and ``subsets`` as for
            :class:`~mmps.formats.cuhk_sysu.CUHKSYSUFiles`; others as for
            :class:`PersonSearchDataset`.
    """

    FILES = CUHKSYSUFiles
