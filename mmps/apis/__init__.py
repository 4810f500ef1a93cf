"""Find people, and find a person again: the interface for programs and notebooks."""

from .people import People
from .results import IndexReport, Query, SearchResult
from .searcher import AmbiguousQueryError, PersonSearcher

__all__ = [
    'AmbiguousQueryError',
    'IndexReport',
    'People',
    'PersonSearcher',
    'Query',
    'SearchResult',
]
