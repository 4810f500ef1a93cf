"""What training and testing do beside the steps of mmengine's runner."""

from .amp import BFloat16OptimWrapper
from .checks import (
    DivergenceHook,
    MissingMetricHook,
    NumIdentitiesCheckHook,
    TrainingDivergedError,
)
from .logs import DataTimeHook, OIMStatisticsHook, ProgressHook, RunRecordHook
from .resuming import (
    AtomicLocalBackend,
    MeanStatisticsHook,
    ResumeCheckHook,
    ResumedValidationHook,
    SeedIterationHook,
)

__all__ = [
    'AtomicLocalBackend',
    'BFloat16OptimWrapper',
    'DataTimeHook',
    'DivergenceHook',
    'MeanStatisticsHook',
    'MissingMetricHook',
    'NumIdentitiesCheckHook',
    'OIMStatisticsHook',
    'ProgressHook',
    'ResumeCheckHook',
    'ResumedValidationHook',
    'RunRecordHook',
    'SeedIterationHook',
    'TrainingDivergedError',
]
