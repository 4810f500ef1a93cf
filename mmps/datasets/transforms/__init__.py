from mmps.datasets.transforms.formatting import PackPersonSearchInputs
from mmps.datasets.transforms.geometric import RandomCropPad, RandomPerspective, RandomSceneAffine
from mmps.datasets.transforms.loading import BrokenImageError, LoadSceneImage
from mmps.datasets.transforms.pixel import RandomGaussianBlur, RandomGaussianNoise

__all__ = [
    'BrokenImageError',
    'LoadSceneImage',
    'PackPersonSearchInputs',
    'RandomCropPad',
    'RandomGaussianBlur',
    'RandomGaussianNoise',
    'RandomPerspective',
    'RandomSceneAffine',
]
