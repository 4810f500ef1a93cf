from .person_search import PersonSearch
from .two_step import TwoStepPersonSearch

__all__ = ['PersonSearch', 'TwoStepPersonSearch']
