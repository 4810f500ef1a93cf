"""Find people, and find a person again: the interface for programs and notebooks."""

from .index_report import IndexReport
from .people import People
from .search_result import Query, SearchResult
from .searcher import AmbiguousQueryError, PersonSearcher

__all__ = [
    'AmbiguousQueryError',
    'IndexReport',
    'People',
    'PersonSearcher',
    'Query',
    'SearchResult',
]
