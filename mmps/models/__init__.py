from . import (
    backbones,
    detectors,
    layers,
    losses,
    necks,
    py_faster_rcnn,
    reid_network,
    roi_heads,
    task_modules,
)

__all__ = [
    'backbones',
    'detectors',
    'layers',
    'losses',
    'necks',
    'py_faster_rcnn',
    'reid_network',
    'roi_heads',
    'task_modules',
]
