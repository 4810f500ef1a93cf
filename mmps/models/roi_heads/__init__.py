from .norm_aware_head import LinearNorm, NormAwareHead, OneLogit
from .occluded_attention import OccludedAttention
from .person_search_roi_head import (
    FineRoIExtractor,
    PersonSearchRoIHead,
    RegionNetwork,
    SoftAttention,
)
from .reid_head import ReIDHead
from .relation_mixer import RelationMixer
from .scene_head import SceneHead
from .sequential_roi_head import PooledRegion, SequentialRoIHead

__all__ = [
    'FineRoIExtractor',
    'LinearNorm',
    'NormAwareHead',
    'OccludedAttention',
    'OneLogit',
    'PersonSearchRoIHead',
    'PooledRegion',
    'ReIDHead',
    'RegionNetwork',
    'RelationMixer',
    'SceneHead',
    'SequentialRoIHead',
    'SoftAttention',
]
