from .scene_context import SceneContext
from .stn import STN

__all__ = ['STN', 'SceneContext']
