from .densenet import DenseNet, DenseNetIdentification
from .googlenet import GoogLeNet, GoogLeNetIdentification
from .post_sum_resnet import PostSumResNet, PostSumResNetIdentification

__all__ = [
    'DenseNet',
    'DenseNetIdentification',
    'GoogLeNet',
    'GoogLeNetIdentification',
    'PostSumResNet',
    'PostSumResNetIdentification',
]
