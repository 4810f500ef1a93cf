"""A rendered person search data set: needs numpy, scipy, OpenCV and, for CUHK03, h5py only."""

from mmps.synthetic.dataset import make_synthetic_dataset, render_scene
from mmps.synthetic.planning import ScenePlan, SyntheticConfig, plan

__all__ = ['ScenePlan', 'SyntheticConfig', 'make_synthetic_dataset', 'plan', 'render_scene']
