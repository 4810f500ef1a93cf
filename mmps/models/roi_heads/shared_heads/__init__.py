from .densenet_identification import DenseNetIdentification
from .googlenet_identification import GoogLeNetIdentification

__all__ = ['DenseNetIdentification', 'GoogLeNetIdentification']
