from .densenet import DenseNet
from .googlenet import GoogLeNet

__all__ = ['DenseNet', 'GoogLeNet']
