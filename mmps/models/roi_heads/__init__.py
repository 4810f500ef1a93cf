from .fine_roi_extractor import FineRoIExtractor
from .person_search_roi_head import PersonSearchRoIHead
from .region_network import RegionNetwork
from .reid_head import ReIDHead
from .shared_heads import DenseNetIdentification, GoogLeNetIdentification

__all__ = [
    'DenseNetIdentification',
    'GoogLeNetIdentification',
    'FineRoIExtractor',
    'PersonSearchRoIHead',
    'ReIDHead',
    'RegionNetwork',
]
