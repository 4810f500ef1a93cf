from .person_search_roi_head import PersonSearchRoIHead
from .region_network import FineRoIExtractor, RegionNetwork
from .reid_head import ReIDHead

__all__ = ['FineRoIExtractor', 'PersonSearchRoIHead', 'ReIDHead', 'RegionNetwork']
