from .affine_frame import AffineFrame
from .dense_block import DenseBlock, Transition
from .inception import ConvNormReLU, Inception
from .region_align import RegionAlign
from .soft_attention import SoftAttention
from .spatial_transformer import SpatialTransformer
from .staged import StagedModule

__all__ = [
    'AffineFrame',
    'ConvNormReLU',
    'DenseBlock',
    'Inception',
    'RegionAlign',
    'SoftAttention',
    'SpatialTransformer',
    'StagedModule',
    'Transition',
]
