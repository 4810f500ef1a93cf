"""A list of trainings, worked through until every one has its metrics.

What a run still needs is read off the files in its folder, each of which is whole or absent, so
there is no other record that could disagree with them.
"""

from .experiments import Experiment, Grid, load_grid
from .launcher import Launcher
from .report import write_report
from .run import Run, make_runs
from .scheduler import Failure, work_through

__all__ = [
    'Experiment',
    'Failure',
    'Grid',
    'Launcher',
    'Run',
    'load_grid',
    'make_runs',
    'work_through',
    'write_report',
]
