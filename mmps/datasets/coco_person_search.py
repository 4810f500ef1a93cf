"""Person-search annotations in COCO style, the form to bring one's own data in."""

from mmps.datasets.person_search_dataset import PersonSearchDataset
from mmps.formats.coco import CocoPersonSearchFiles
from mmps.registry import DATASETS


@DATASETS.register_module()
class CocoPersonSearchDataset(PersonSearchDataset):
    """COCO-style JSON with person ids.

    Example:
        >>> dataset = CocoPersonSearchDataset(
        ...     data_root='data/my_cameras', ann_file='train.json', lazy_init=True
        ... )
        >>> dataset.data_prefix['img']
        'data/my_cameras/images'

    Args:
        **kwargs: ``ann_file``, ``image_folder``, ``default_queries``, ``id_key`` and
            ``unlabelled_ids`` as for :class:`~mmps.formats.coco.CocoPersonSearchFiles`; others as
            for :class:`PersonSearchDataset`.
    """

    FILES = CocoPersonSearchFiles
