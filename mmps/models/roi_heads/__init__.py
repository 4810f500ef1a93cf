from .norm_aware_head import LinearNorm, NormAwareHead
from .person_search_roi_head import PersonSearchRoIHead
from .region_network import FineRoIExtractor, RegionNetwork
from .reid_head import ReIDHead
from .sequential_roi_head import PooledRegion, SequentialRoIHead

__all__ = [
    'FineRoIExtractor',
    'LinearNorm',
    'NormAwareHead',
    'PersonSearchRoIHead',
    'PooledRegion',
    'ReIDHead',
    'RegionNetwork',
    'SequentialRoIHead',
]
