from . import backbones, detectors, layers, losses, necks, roi_heads

__all__ = ['backbones', 'detectors', 'layers', 'losses', 'necks', 'roi_heads']
