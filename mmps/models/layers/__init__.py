from .affine_frame import AffineFrame
from .dense_block import DenseBlock, Transition
from .global_batch_norm import GlobalBatchNorm
from .inception import ConvNormReLU, Inception
from .region_align import RegionAlign, align_regions, extract
from .region_focus import RegionFocus
from .soft_attention import SoftAttention
from .spatial_transformer import SpatialTransformer, warp
from .staged import StagedModule
from .stripe_pool import AttentiveStripePool

__all__ = [
    'AffineFrame',
    'AttentiveStripePool',
    'ConvNormReLU',
    'DenseBlock',
    'GlobalBatchNorm',
    'Inception',
    'RegionAlign',
    'RegionFocus',
    'SoftAttention',
    'SpatialTransformer',
    'StagedModule',
    'Transition',
    'align_regions',
    'extract',
    'warp',
]
