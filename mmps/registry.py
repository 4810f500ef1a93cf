"""One table of registries, children of MMDetection's.

Their parents are mmdet's registries rather than mmengine's, so that a name is looked up in mmps,
then mmdet, then mmengine, and neither configs nor mmdet's own default arguments need a scope
prefix. The price: a name registered here wins inside mmdet's code too, so names must never collide
with mmdet's (``tests/test_registry.py`` holds us to it).
"""

import logging
import warnings

import mmdet.registry as _mmdet
import mmengine.registry as _mmengine
from mmengine import logging as _mmengine_logging
from mmengine.registry import Registry


def _hide_missing_options() -> None:
    """Let mmdet say nothing about optional packages that mmps never asks for.

    Its data sets and metrics tell of them as they are imported: by a warning, and by debug messages
    without a logger, which mmengine prints whatever their level.
    """
    print_log = _mmengine_logging.print_log

    def print_important(msg: object, logger: object = None, level: int = logging.INFO) -> None:
        if logger is not None or level >= logging.INFO:
            print_log(msg, logger, level)

    _mmengine_logging.print_log = print_important
    warnings.filterwarnings('ignore', 'faster_coco_eval is not installed')


_hide_missing_options()


def _child(attribute: str, *locations: str) -> Registry:
    """A registry of scope ``mmps`` filled, on its first look-up, by importing ``locations``.

    A look-up in the parent does not import the parent's own locations, so those are listed as well.
    """
    parent = getattr(_mmdet, attribute, getattr(_mmengine, attribute))
    return Registry(parent.name, parent=parent, scope='mmps', locations=list(locations))


DATASETS = _child('DATASETS', 'mmdet.datasets', 'mmps.datasets')
DATA_SAMPLERS = _child('DATA_SAMPLERS', 'mmdet.datasets.samplers', 'mmps.datasets')
TRANSFORMS = _child('TRANSFORMS', 'mmdet.datasets.transforms', 'mmps.datasets.transforms')
MODELS = _child('MODELS', 'mmdet.models', 'mmps.models', 'mmps.deployment.exported_model')
TASK_UTILS = _child('TASK_UTILS', 'mmdet.models', 'mmps.models')
METRICS = _child('METRICS', 'mmdet.evaluation', 'mmps.evaluation.metrics')
HOOKS = _child('HOOKS', 'mmdet.engine.hooks', 'mmps.engine')
OPTIM_WRAPPERS = _child('OPTIM_WRAPPERS', 'mmps.engine')
VISUALIZERS = _child('VISUALIZERS', 'mmdet.visualization')

# mmps adds nothing to these, but mmengine warns at every build about a root registry that has no
# child in the active scope.
RUNNERS = _child('RUNNERS')
RUNNER_CONSTRUCTORS = _child('RUNNER_CONSTRUCTORS')
LOOPS = _child('LOOPS')
STRATEGIES = _child('STRATEGIES')
FUNCTIONS = _child('FUNCTIONS')
MODEL_WRAPPERS = _child('MODEL_WRAPPERS')
WEIGHT_INITIALIZERS = _child('WEIGHT_INITIALIZERS')
OPTIMIZERS = _child('OPTIMIZERS')
OPTIM_WRAPPER_CONSTRUCTORS = _child('OPTIM_WRAPPER_CONSTRUCTORS')
PARAM_SCHEDULERS = _child('PARAM_SCHEDULERS')
EVALUATOR = _child('EVALUATOR')
VISBACKENDS = _child('VISBACKENDS')
INFERENCERS = _child('INFERENCERS')
LOG_PROCESSORS = _child('LOG_PROCESSORS')
