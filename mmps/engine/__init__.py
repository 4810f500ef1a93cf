from .atomic_backend import AtomicLocalBackend
from .hooks import NumIdentitiesCheckHook, SeedIterationHook

__all__ = ['AtomicLocalBackend', 'NumIdentitiesCheckHook', 'SeedIterationHook']
