from . import backbones, detectors, layers, losses, necks, py_faster_rcnn, reid_network, roi_heads

__all__ = ['backbones', 'detectors', 'layers', 'losses', 'necks', 'roi_heads']
__all__ += ['py_faster_rcnn', 'reid_network']
