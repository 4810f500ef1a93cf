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
from mmps.datasets.transforms.resizing import ResizeToFit

__all__ = [
    'BrokenImageError',
    'LoadSceneImage',
    'PackPersonSearchInputs',
    'RandomCropPad',
    'RandomGaussianBlur',
    'RandomGaussianNoise',
    'RandomPerspective',
    'RandomSceneAffine',
    'ResizeToFit',
]
