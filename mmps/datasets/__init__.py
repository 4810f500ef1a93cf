from mmps.datasets.person_search_dataset import PersonSearchDataset
from mmps.datasets.prw import PRWDataset
from mmps.datasets.samplers import SeededIndex, SeededSampler
from mmps.datasets.transforms import (
    LoadSceneImage,
    PackPersonSearchInputs,
    RandomCropPad,
    RandomGaussianBlur,
    RandomGaussianNoise,
    RandomPerspective,
    RandomSceneAffine,
)

__all__ = [
    'LoadSceneImage',
    'PRWDataset',
    'PackPersonSearchInputs',
    'PersonSearchDataset',
    'RandomCropPad',
    'RandomGaussianBlur',
    'RandomGaussianNoise',
    'RandomPerspective',
    'RandomSceneAffine',
    'SeededIndex',
    'SeededSampler',
]
