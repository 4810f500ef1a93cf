"""Metrics that mmengine runs."""

from .person_search_metric import PersonSearchMetric

__all__ = ['PersonSearchMetric']
