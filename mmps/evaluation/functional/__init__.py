"""Evaluation of person search: arrays in, numbers out, without any framework."""

from .annotations import SearchAnnotations, SearchGalleries
from .bootstrap import Comparison, Interval, bootstrap_intervals, compare_results
from .calibration import Calibration, FalseMatch, calibrate_marks, calibrate_pairs
from .context_matching import ContextMatching
from .detection import evaluate_coco, evaluate_detection
from .predictions import (
    SearchPredictions,
    align_predictions,
    load_predictions,
    save_predictions,
    with_ground_truth_boxes,
)
from .protocols import SearchProtocols, SplitSummary, summarise_splits
from .search import SearchResult, evaluate_search, rank_queries

__all__ = [
    'Calibration',
    'Comparison',
    'ContextMatching',
    'FalseMatch',
    'Interval',
    'SearchAnnotations',
    'SearchGalleries',
    'SearchPredictions',
    'SearchProtocols',
    'SearchResult',
    'SplitSummary',
    'align_predictions',
    'bootstrap_intervals',
    'calibrate_marks',
    'calibrate_pairs',
    'compare_results',
    'evaluate_coco',
    'evaluate_detection',
    'evaluate_search',
    'load_predictions',
    'rank_queries',
    'save_predictions',
    'summarise_splits',
    'with_ground_truth_boxes',
]
