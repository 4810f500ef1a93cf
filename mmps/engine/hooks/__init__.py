from .num_identities_check_hook import NumIdentitiesCheckHook
from .resumed_validation_hook import ResumedValidationHook
from .seed_iteration_hook import SeedIterationHook

__all__ = ['NumIdentitiesCheckHook', 'ResumedValidationHook', 'SeedIterationHook']
