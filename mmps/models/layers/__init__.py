from .affine_frame import AffineFrame
from .dense_block import DenseBlock, Transition
from .global_batch_norm import GlobalBatchNorm
from .inception import ConvNormReLU, Inception
from .soft_attention import SoftAttention
from .spatial_transformer import SpatialTransformer
from .staged import StagedModule

__all__ = [
    'AffineFrame',
    'ConvNormReLU',
    'DenseBlock',
    'GlobalBatchNorm',
    'Inception',
    'SoftAttention',
    'SpatialTransformer',
    'StagedModule',
    'Transition',
]
