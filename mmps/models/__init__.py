from . import backbones, detectors, layers, losses, necks, reid_network, roi_heads

__all__ = ['backbones', 'detectors', 'layers', 'losses', 'necks', 'reid_network', 'roi_heads']
