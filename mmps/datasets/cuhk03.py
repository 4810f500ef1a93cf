"""CUHK03 (Li et al., "DeepReID", CVPR 2014), as it is shipped."""

from mmps.datasets.person_search_dataset import PersonSearchDataset
from mmps.formats.cuhk03 import CUHK03Files
from mmps.registry import DATASETS


@DATASETS.register_module()
class CUHK03Dataset(PersonSearchDataset):
    """CUHK03: about 14,100 crops of 1,467 identities, each a scene with one person.

    Reads the files below ``data_root`` as they are shipped. The crops are unpacked to
    ``cuhk03_release/images_{boxes}`` the first time.

    Example:
        >>> dataset = CUHK03Dataset(data_root='data/cuhk03', boxes='detected', lazy_init=True)
        >>> dataset.data_prefix['img']
        'data/cuhk03/cuhk03_release/images_detected'

    Args:
        **kwargs: ``boxes``, ``protocol`` and ``classic_split`` as for
            :class:`~mmps.formats.cuhk03.CUHK03Files`; others as for :class:`PersonSearchDataset`.
    """

    FILES = CUHK03Files
