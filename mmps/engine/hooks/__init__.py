from .data_time_hook import DataTimeHook
from .divergence_hook import DivergenceHook, TrainingDivergedError
from .mean_statistics_hook import MeanStatisticsHook
from .missing_metric_hook import MissingMetricHook
from .num_identities_check_hook import NumIdentitiesCheckHook
from .oim_statistics_hook import OIMStatisticsHook
from .resume_check_hook import ResumeCheckHook
from .resumed_validation_hook import ResumedValidationHook
from .run_record_hook import RunRecordHook
from .seed_iteration_hook import SeedIterationHook

__all__ = [
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
