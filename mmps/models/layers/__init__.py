from .affine_frame import AffineFrame
from .dense_block import DenseBlock, Transition
from .inception import ConvNormReLU, Inception
from .region_align import RegionAlign, align_regions
from .region_focus import RegionFocus
from .soft_attention import SoftAttention
from .spatial_transformer import SpatialTransformer, warp
from .staged import StagedModule

__all__ = [
    'AffineFrame',
    'ConvNormReLU',
    'DenseBlock',
    'Inception',
    'RegionAlign',
    'RegionFocus',
    'SoftAttention',
    'SpatialTransformer',
    'StagedModule',
    'Transition',
    'align_regions',
    'warp',
]
