import mmps.utils.checkpoint_file  # noqa: F401  # mmengine reads checkpoints by it from here on

from .atomic_backend import AtomicLocalBackend
from .hooks import (
    DataTimeHook,
    DivergenceHook,
    NumIdentitiesCheckHook,
    OIMStatisticsHook,
    ResumeCheckHook,
    ResumedValidationHook,
    RunRecordHook,
    SeedIterationHook,
    TrainingDivergedError,
)

__all__ = [
    'AtomicLocalBackend',
    'DataTimeHook',
    'DivergenceHook',
    'NumIdentitiesCheckHook',
    'OIMStatisticsHook',
    'ResumeCheckHook',
    'ResumedValidationHook',
    'RunRecordHook',
    'SeedIterationHook',
    'TrainingDivergedError',
]
