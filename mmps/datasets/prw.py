"""PRW (Zheng et al., "Person Re-identification in the Wild", CVPR 2017), as it is shipped."""

from mmps.datasets.person_search_dataset import PersonSearchDataset
from mmps.formats.prw import PRWFiles
from mmps.registry import DATASETS


@DATASETS.register_module()
class PRWDataset(PersonSearchDataset):
    """PRW: 11,816 frames of six cameras; 483 training identities, 2,057 queries.

    Reads the files below ``data_root`` as they are shipped, and any folder in that layout; see
    :class:`~mmps.formats.prw.PRWFiles`.

    Example:
        >>> PRWDataset(data_root='data/PRW', test_mode=True, lazy_init=True).files.test_mode
        True

    Args:
        **kwargs: As for :class:`PersonSearchDataset`.
    """

    FILES = PRWFiles
