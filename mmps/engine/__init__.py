from .atomic_backend import AtomicLocalBackend
from .hooks import MeanStatisticsHook, NumIdentitiesCheckHook, SeedIterationHook
from .optim_wrappers import BFloat16OptimWrapper

__all__ = [
    'AtomicLocalBackend',
    'BFloat16OptimWrapper',
    'MeanStatisticsHook',
    'NumIdentitiesCheckHook',
    'SeedIterationHook',
]
