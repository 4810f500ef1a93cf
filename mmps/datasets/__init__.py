import mmps.registry  # noqa: F401  before mmdet, whose notes about optional packages it hides
from mmps.datasets.coco_person_search import CocoPersonSearchDataset
from mmps.datasets.cuhk03 import CUHK03Dataset
from mmps.datasets.cuhk_sysu import CUHKSYSUDataset
from mmps.datasets.person_search_dataset import PersonSearchDataset
from mmps.datasets.prw import PRWDataset
from mmps.datasets.samplers import IdentityBalancedBatchSampler, SeededIndex, SeededSampler
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
    'CUHK03Dataset',
    'CUHKSYSUDataset',
    'CocoPersonSearchDataset',
    'IdentityBalancedBatchSampler',
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
