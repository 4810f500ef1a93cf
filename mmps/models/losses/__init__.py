from .oim_loss import OIMLoss
from .oim_with_classifier import OIMWithClassifier

__all__ = ['OIMLoss', 'OIMWithClassifier']
