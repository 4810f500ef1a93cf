"""Evaluation of person search: arrays in, numbers out, without any framework."""

from .annotations import SearchAnnotations, SearchGalleries
from .context_matching import ContextMatching
from .detection import evaluate_detection
from .predictions import (
    SearchPredictions,
    align_predictions,
    load_predictions,
    save_predictions,
    with_ground_truth_boxes,
)
from .search import SearchResult, evaluate_search, rank_queries

__all__ = [
    'ContextMatching',
    'SearchAnnotations',
    'SearchGalleries',
    'SearchPredictions',
    'SearchResult',
    'align_predictions',
    'evaluate_detection',
    'evaluate_search',
    'load_predictions',
    'rank_queries',
    'save_predictions',
    'with_ground_truth_boxes',
]
