from .convnext import ConvNeXt, ConvNeXtIdentification
from .densenet import DenseNet, DenseNetIdentification
from .googlenet import GoogLeNet, GoogLeNetIdentification
from .post_sum_resnet import PostSumResNet, PostSumResNetIdentification
from .semantic_swin import SemanticSwin, SemanticSwinIdentification

__all__ = [
    'ConvNeXt',
    'ConvNeXtIdentification',
    'DenseNet',
    'DenseNetIdentification',
    'GoogLeNet',
    'GoogLeNetIdentification',
    'PostSumResNet',
    'PostSumResNetIdentification',
    'SemanticSwin',
    'SemanticSwinIdentification',
]
