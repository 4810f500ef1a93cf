from mmps.datasets.transforms.augmentation import (
    RandomCropPad,
    RandomGaussianBlur,
    RandomGaussianNoise,
    RandomPerspective,
    RandomSceneAffine,
)
from mmps.datasets.transforms.loading import (
    BrokenImageError,
    LoadSceneImage,
    PackPersonSearchInputs,
)

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
