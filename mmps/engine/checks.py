"""Hooks that check a training: they stop one that cannot succeed, or say what is missing."""

import logging
import math
from collections import deque
from statistics import median

import torch
from mmengine.dist import all_gather_object, all_reduce, get_rank, get_world_size
from mmengine.hooks import CheckpointHook, Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import AmpOptimWrapper
from mmengine.runner import Runner

from mmps.registry import HOOKS
from mmps.utils.checkpoint import newest_checkpoint
from mmps.utils.errors import DataError, UserError

_IMAGES_NAMED = 16


class TrainingDivergedError(UserError, RuntimeError):
    """The loss or the weights are useless from here on; the message says where it began."""


@HOOKS.register_module()
class DivergenceHook(Hook):
    """Stops a training whose loss is not finite or has exploded, before it can be saved.

    mmengine's step ends with the update of the weights, so they are lost by the time a hook sees
    the loss; the last checkpoint is not: it is written later, by a hook that is not reached. The
    weights themselves are looked at before each checkpoint and validation, because a gradient can
    fail where the loss did not.

    All ranks stop in the same step, each knowing what any of them found. Costs one number exchanged
    per step between several ranks: mmengine has brought the loss to the host for its log.

    Example:
        >>> from unittest.mock import MagicMock  # in place of a runner
        >>> hook = HOOKS.build(dict(type='DivergenceHook', explosion_factor=10.0))
        >>> runner = MagicMock(iter=41, epoch=0, hooks=[], work_dir='')
        >>> runner.message_hub.get_scalar().current.return_value = math.nan  # the loss
        >>> try:
        ...     hook.after_train_iter(runner, 0, outputs=dict(loss=math.nan))
        ... except TrainingDivergedError as error:
        ...     print(str(error).splitlines()[:2])
        ['training stopped at iteration 42, epoch 1:', '  loss not finite']

    Args:
        explosion_factor: A loss above this many times the median of the last ``window`` ones (at
            least 1) has exploded. None: never.
        window: Steps of the median; before so many, no loss has exploded.
    """

    # After the hook that puts the loss into the log, before averaging, saving and validating.
    priority = 'HIGH'

    def __init__(self, explosion_factor: float | None = 100.0, window: int = 50):
        self.explosion_factor = explosion_factor
        self._losses: deque[float] = deque(maxlen=window)
        self._images: deque[list[str]] = deque(maxlen=2)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Judges the loss of the step.

        Raises:
            TrainingDivergedError: On all ranks if on any.
        """
        terms = {
            key: runner.message_hub.get_scalar(f'train/{key}').current() for key in outputs or {}
        }
        self._images.append(_image_paths(data_batch))
        problem = self._judge(terms) or _judge_gradient(runner)
        self._stop_if_any(runner, problem, terms, data_batch)
        if self._saves_now(runner):
            self._check_weights(runner)

    def _judge(self, terms: dict[str, float]) -> str:
        invalid = [key for key, value in terms.items() if not math.isfinite(value)]
        if invalid:
            return f'{", ".join(invalid)} not finite'
        if 'loss' not in terms or self.explosion_factor is None:
            return ''
        usual = median(self._losses) if len(self._losses) == self._losses.maxlen else math.inf
        self._losses.append(terms['loss'])
        if terms['loss'] > self.explosion_factor * max(usual, 1.0):
            return (
                f'the loss has exploded: it is more than {self.explosion_factor:g} times '
                f'{usual:.4g}, the median of the {self._losses.maxlen} steps before'
            )
        return ''

    def _saves_now(self, runner: Runner) -> bool:
        return any(
            isinstance(hook, CheckpointHook)
            and not hook.by_epoch
            and (hook.every_n_train_iters(runner, hook.interval) or hook.is_last_train_iter(runner))
            for hook in runner.hooks
        )

    def _check_weights(self, runner: Runner) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        tensors = {k: v for k, v in model.state_dict().items() if v.is_floating_point()}
        finite = torch.stack([tensor.isfinite().all() for tensor in tensors.values()]).tolist()
        invalid = [name for name, fine in zip(tensors, finite, strict=True) if not fine]
        named = f'{", ".join(invalid[:3])}{", ..." if len(invalid) > 3 else ""}'
        self._stop_if_any(runner, named and f'weights not finite: {named}', {})

    after_train_epoch = before_val = _check_weights  # before a checkpoint may be written

    def _stop_if_any(
        self,
        runner: Runner,
        problem: str,
        terms: dict[str, float],
        data_batch: dict | None = None,
    ) -> None:
        found = torch.tensor(float(bool(problem)))
        all_reduce(found)
        if not found:
            return
        report = self._report(problem, terms, data_batch) if problem else ''
        reports = ''.join(all_gather_object(report))
        message = (
            f'training stopped at iteration {runner.iter + 1}, epoch {runner.epoch + 1}:'
            f'\n{reports}{_advice(runner)}'
        )
        runner.logger.error(message)
        raise TrainingDivergedError(message)

    def _report(self, problem: str, terms: dict[str, float], data_batch: dict | None) -> str:
        lines = [f'rank {get_rank()}: {problem}' if get_world_size() > 1 else problem]
        if terms:
            lines.append(', '.join(f'{key} {value:.4g}' for key, value in terms.items()))
        steps = ('this step', 'the step before')
        for images, step in zip(reversed(self._images), steps, strict=False):
            lines.append(f'images of {step}: {", ".join(images) or "none"}')
        if box := _smallest_box(data_batch):
            lines.append(f'smallest box of this step, as the network saw it: {box}')
        return ''.join(f'  {line}\n' for line in lines)


def _judge_gradient(runner: Runner) -> str:
    """Whether the norm that clipping has computed is finite.

    Mixed precision skips the update of a step whose gradient overflows, which it expects to happen.
    """
    name = getattr(runner.optim_wrapper, 'grad_name', '')
    key = f'train/{name}'
    if (
        isinstance(runner.optim_wrapper, AmpOptimWrapper)
        or key not in runner.message_hub.log_scalars
    ):
        return ''
    norm = runner.message_hub.get_scalar(key).current()
    return '' if math.isfinite(norm) else f'the norm of the gradient is {norm}'


def _image_paths(data_batch: dict | None) -> list[str]:
    samples = (data_batch or {}).get('data_samples', [])
    paths = [str(sample.metainfo.get('img_path')) for sample in samples[:_IMAGES_NAMED]]
    return paths + ['...'] * (len(samples) > _IMAGES_NAMED)


def _smallest_box(data_batch: dict | None) -> str:
    """The annotated box that has the least inside its image: the likely cause."""
    found: list[tuple[float, str]] = []
    for sample in (data_batch or {}).get('data_samples', []):
        height, width = (sample.metainfo.get('img_shape') or (math.inf, math.inf))[:2]
        for bbox in getattr(sample.get('gt_instances'), 'bboxes', ()):
            x1, y1, x2, y2 = values = bbox.tolist()
            sides = min(x2, width) - max(x1, 0), min(y2, height) - max(y1, 0)
            box = ', '.join(f'{value:.6g}' for value in values)
            text = f'[{box}] of {width} x {height} pixels in {sample.metainfo.get("img_path")}'
            found.append((min(sides) if all(map(math.isfinite, values)) else -math.inf, text))
    return min(found, default=(0, ''))[1]


def _advice(runner: Runner) -> str:
    good = newest_checkpoint(runner.work_dir)
    way = (
        f'Nothing was saved since {good}: go on from it with --resume'
        if good
        else 'There is no checkpoint yet: start again'
    )
    return (
        f'{way}, after a look at these images and their boxes, with a lower '
        'optim_wrapper.optimizer.lr, or with optim_wrapper.clip_grad.max_norm=10.'
    )


@HOOKS.register_module()
class NumIdentitiesCheckHook(Hook):
    """Refuses to train when the look-up table's rows are not the data set's identities.

    Too few rows crash in the loss without naming the cause; too many leave rows that attract no
    one.

    Example:
        >>> from unittest.mock import MagicMock  # in place of a runner
        >>> runner = MagicMock()
        >>> runner.model.num_ids, runner.model.num_ids_key = 482, 'model.roi_head.reid_head.num_ids'
        >>> dataset = runner.train_dataloader.dataset
        >>> dataset.num_ids, dataset.data_root = 483, 'data/PRW'
        >>> HOOKS.build(dict(type='NumIdentitiesCheckHook')).before_train(runner)
        Traceback (most recent call last):
            ...
        mmps.utils.errors.DataError: data/PRW: the training set has 483 identities, but the model
        was configured for 482. Set model.roi_head.reid_head.num_ids=483.
    """

    def before_train(self, runner: Runner) -> None:
        """Compares ``num_ids`` of data set and model, unless the latter learns no identities.

        Raises:
            DataError: If they differ.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        dataset = runner.train_dataloader.dataset
        rows, identities = model.num_ids, dataset.num_ids
        if rows is not None and rows != identities:
            raise DataError(
                f'{dataset.data_root}: the training set has {identities} identities, but the '
                f'model was configured for {rows}. Set {model.num_ids_key}={identities}.'
            )


@HOOKS.register_module()
class MissingMetricHook(Hook):
    """Lets a training go on whose validation lacks the metric that chooses the best checkpoint.

    A test set in which no query has anybody to find has no ``search/mAP``, and mmengine would stop
    at the missing key, after a whole epoch. No checkpoint becomes the best then.

    Example:
        >>> from unittest.mock import MagicMock  # in place of a runner
        >>> runner = MagicMock(hooks=[CheckpointHook(save_best='search/mAP', rule='greater')])
        >>> metrics = {'det/AP': 0.8}
        >>> HOOKS.build(dict(type='MissingMetricHook')).after_val_epoch(runner, metrics)
        >>> metrics
        {'det/AP': 0.8, 'search/mAP': None}
    """

    # after the metrics are logged, before the checkpoint hook looks for the best
    priority = 'LOW'

    def __init__(self) -> None:
        self._told: set[str] = set()

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Marks the metrics as not measured, which mmengine passes over."""
        if metrics is None:
            return
        for hook in runner.hooks:
            wanted = isinstance(hook, CheckpointHook) and getattr(hook, 'key_indicators', None)
            for key in wanted or ():
                if key == 'auto' or key in metrics:
                    continue
                metrics[key] = None
                if key not in self._told:
                    self._told.add(key)
                    runner.logger.log(
                        logging.WARNING,
                        f'the validation has no {key}, so that no checkpoint is kept as the best; '
                        'mark queries whose person is in further test images, or choose by another '
                        'metric, e.g. default_hooks.checkpoint.save_best=det/AP',
                    )
