from .num_identities_check_hook import NumIdentitiesCheckHook
from .seed_iteration_hook import SeedIterationHook

__all__ = ['NumIdentitiesCheckHook', 'SeedIterationHook']
