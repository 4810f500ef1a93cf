from .densenet import DenseNet, DenseNetIdentification
from .googlenet import GoogLeNet, GoogLeNetIdentification

__all__ = ['DenseNet', 'DenseNetIdentification', 'GoogLeNet', 'GoogLeNetIdentification']
