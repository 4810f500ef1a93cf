from .scene_context import SceneContext
from .stn import STN
