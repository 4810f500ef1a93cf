"""What each part of a step takes by itself: seconds, or operations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from operator import attrgetter
from typing import Any

OTHER = 'other'
"""What no stage claims."""

MODEL_STAGES = (
    ('normalise, pad', 'data_preprocessor', 'forward'),
    ('stem', 'backbone', 'forward'),
    ('neck', 'neck', 'forward'),
    ('neck', 'neck', 'warp'),
    ('RPN', 'rpn_head', 'predict'),
    ('RPN', 'rpn_head', 'loss_and_predict'),
    ('NMS', 'rpn_head', '_bbox_post_process'),
    ('sampling', 'roi_head', '_sample'),
    ('RoIAlign', 'roi_head.bbox_roi_extractor', 'forward'),
    ('attention', 'roi_head.focus', 'forward'),
    ('identification network', 'roi_head.shared_head', 'forward'),
    ('identification network of re-ID', 'roi_head.reid_network', 'forward'),
    ('heads', 'roi_head.bbox_head', 'forward'),
    ('heads', 'roi_head.bbox_head', 'loss_and_target'),
    ('heads', 'roi_head.reid_head', 'forward'),
    ('NMS', 'roi_head.bbox_head', 'predict_by_feat'),
    ('OIM', 'roi_head.reid_head.criterion', 'forward'),
)
"""Name of a stage, where in a ``PersonSearch`` its object is, and the method that is the stage."""

OPTIMISER_STAGES = (
    ('backward', 'optim_wrapper', 'backward'),
    ('optimiser', 'optim_wrapper', 'step'),
    ('optimiser', 'optim_wrapper', 'zero_grad'),
)


class StageMeter:
    """Divides what a meter counts among stages; a stage within another is not counted twice.

    Args:
        read: The meter, which only grows: a clock, a counter of operations.
    """

    def __init__(self, read: Callable[[], float]) -> None:
        self.read = read
        self.amounts: dict[str, float] = defaultdict(float)
        self._open = [OTHER]
        self._last = read()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """What the meter counts in this context belongs to ``name``."""
        self._book()
        self._open.append(name)
        try:
            yield
        finally:
            self._book()
            self._open.pop()

    def stop(self) -> dict[str, float]:
        """The amount of each stage since the meter was made."""
        self._book()
        return dict(self.amounts)

    def _book(self) -> None:
        now = self.read()
        self.amounts[self._open[-1]] += now - self._last
        self._last = now


@contextmanager
def metered(meter: StageMeter, owner: Any, stages: tuple = MODEL_STAGES) -> Iterator[None]:
    """Within this context, calls of the methods of ``stages`` that ``owner`` has are measured."""
    with ExitStack() as stack:
        for name, path, method in stages:
            try:
                target = attrgetter(path)(owner)
            except AttributeError:
                continue
            if hasattr(target, method):
                stack.enter_context(_measured(meter, name, target, method))
        yield


@contextmanager
def _measured(meter: StageMeter, name: str, target: Any, method: str) -> Iterator[None]:
    if method == 'forward' and getattr(target, '_compiled_call_impl', None) is not None:
        method = '_compiled_call_impl'  # a meter inside what is compiled would break it into parts
    original = getattr(target, method)
    own = method in vars(target)

    def call(*args: Any, **kwargs: Any) -> Any:
        with meter.stage(name):
            return original(*args, **kwargs)

    setattr(target, method, call)
    try:
        yield
    finally:
        setattr(target, method, original) if own else delattr(target, method)
