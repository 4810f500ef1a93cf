"""The page in which to search a gallery."""

from .service import SearchService

__all__ = ['SearchService']
