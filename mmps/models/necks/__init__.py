from .stn import STN

__all__ = ['STN']
