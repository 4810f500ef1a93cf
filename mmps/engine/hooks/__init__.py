from .mean_statistics_hook import MeanStatisticsHook
from .num_identities_check_hook import NumIdentitiesCheckHook
from .seed_iteration_hook import SeedIterationHook

__all__ = ['MeanStatisticsHook', 'NumIdentitiesCheckHook', 'SeedIterationHook']
