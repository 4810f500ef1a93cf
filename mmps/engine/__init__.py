import mmps.utils.checkpoint_file  # noqa: F401  # mmengine reads checkpoints by it from here on

from .atomic_backend import AtomicLocalBackend
from .hooks import (
    DataTimeHook,
    DivergenceHook,
    MeanStatisticsHook,
    MissingMetricHook,
    NumIdentitiesCheckHook,
    OIMStatisticsHook,
    ResumeCheckHook,
    ResumedValidationHook,
    RunRecordHook,
    SeedIterationHook,
    TrainingDivergedError,
)
from .optim_wrappers import BFloat16OptimWrapper

__all__ = [
    'AtomicLocalBackend',
    'BFloat16OptimWrapper',
    'DataTimeHook',
    'DivergenceHook',
    'MeanStatisticsHook',
    'MissingMetricHook',
    'NumIdentitiesCheckHook',
    'OIMStatisticsHook',
    'ResumeCheckHook',
    'ResumedValidationHook',
    'RunRecordHook',
    'SeedIterationHook',
    'TrainingDivergedError',
]
