"""What a data set holds and every problem found in it."""

from .dataset_report import DatasetReport, report_dataset, report_table
from .problem import KINDS, Problem, Severity

__all__ = ['KINDS', 'DatasetReport', 'Problem', 'Severity', 'report_dataset', 'report_table']
