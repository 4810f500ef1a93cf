from .affine_frame import AffineFrame
from .dense_block import DenseBlock, Transition
from .inception import ConvNormReLU, Inception
from .region_focus import RegionFocus
from .soft_attention import SoftAttention
from .spatial_transformer import SpatialTransformer, warp
from .staged import StagedModule

__all__ = [
    'AffineFrame',
    'ConvNormReLU',
    'DenseBlock',
    'Inception',
    'RegionFocus',
    'SoftAttention',
    'SpatialTransformer',
    'StagedModule',
    'Transition',
    'warp',
]
