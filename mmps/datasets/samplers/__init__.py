from .identity_balanced import IdentityBalancedBatchSampler
from .seeded import SeededIndex, SeededSampler, sample_seed, seeded_by

__all__ = [
    'IdentityBalancedBatchSampler',
    'SeededIndex',
    'SeededSampler',
    'sample_seed',
    'seeded_by',
]
