from .atomic_backend import AtomicLocalBackend
from .hooks import NumIdentitiesCheckHook, ResumedValidationHook, SeedIterationHook

__all__ = [
    'AtomicLocalBackend',
    'NumIdentitiesCheckHook',
    'ResumedValidationHook',
    'SeedIterationHook',
]
