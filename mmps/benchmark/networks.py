"""Time models, as a whole and stage by stage, beside what the machine can do at best."""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmps.benchmark.measurement import (
    Measurement,
    add_options,
    compared,
    in_turn,
    peak_memory,
    seconds_of,
)
from mmps.engine.amp import cpu_has_bfloat16
from mmps.models.layers.fast import plain_layers
from mmps.registry import MODELS
from mmps.testing.scenes import random_scenes
from mmps.utils.config import load_config
from mmps.utils.memory import keep_freed_memory

PEOPLE = [0, 1, 2, -1]
"""Ids in every scene; PRW has about three people in a frame."""


OTHER = 'other'
"""What no stage claims."""

STAGES = (
    ('normalise, pad', 'model.data_preprocessor.forward'),
    ('stem', 'model.backbone.forward'),
    ('neck', 'model.neck.forward'),
    ('neck', 'model.neck.warp'),
    ('RPN', 'model.rpn_head.predict'),
    ('RPN', 'model.rpn_head.loss_and_predict'),
    ('NMS', 'model.rpn_head._bbox_post_process'),
    ('sampling', 'model.roi_head._sample'),
    ('RoIAlign', 'model.roi_head.bbox_roi_extractor.forward'),
    ('attention', 'model.roi_head.focus.forward'),
    ('identification network', 'model.roi_head.shared_head.forward'),
    ('identification network of re-ID', 'model.roi_head.reid_network.forward'),
    ('heads', 'model.roi_head.bbox_head.forward'),
    ('heads', 'model.roi_head.bbox_head.loss_and_target'),
    ('heads', 'model.roi_head.reid_head.forward'),
    ('NMS', 'model.roi_head.bbox_head.predict_by_feat'),
    ('OIM', 'model.roi_head.reid_head.criterion.forward'),
    ('backward', 'optim_wrapper.backward'),
    ('optimiser', 'optim_wrapper.step'),
    ('optimiser', 'optim_wrapper.zero_grad'),
)
"""Name of a stage, and the method that is the stage of a ``PersonSearch`` or an optimiser."""


def add_infer_arguments(parser: argparse.ArgumentParser) -> None:
    add_options(parser, 'config', '--size', '--batch', '--device', '--repeats', '--amp')


def infer(arguments: argparse.Namespace) -> list[Measurement]:
    """Time inference of a model: detections and embeddings of one image after another."""
    model, _ = load_model(arguments)
    model.eval()
    batch = scenes(arguments)
    dtype = getattr(torch, arguments.amp or 'float32')
    device = torch.device(arguments.device).type

    @torch.no_grad()
    def step() -> None:
        with torch.autocast(device, dtype, enabled=arguments.amp is not None):
            model.test_step(batch)

    return measure(step, model, arguments, arguments.batch, dtype)


def add_runtimes_arguments(parser: argparse.ArgumentParser) -> None:
    add_options(parser, 'config', '--size', '--batch', '--device', '--repeats')
    parser.add_argument('--threads', type=int, default=2, help='CPU threads (default: 2)')
    parser.add_argument('--int8', action='store_true', help='also the int8 forms')


def runtimes(arguments: argparse.Namespace) -> list[Measurement]:
    """Compare PyTorch, ONNX Runtime and OpenVINO on CPUs, in turn on the same image.

    PyTorch runs twice: the model as it is, whose layers have forms of their own for speed, and the
    network that is exported, whose layers are written plainly. Where the CPU has bfloat16, that is
    measured too.
    """
    torch.set_num_threads(arguments.threads)
    model, config = load_model(arguments)
    with TemporaryDirectory() as folder:
        steps = _runtime_steps(arguments, model.eval(), config, Path(folder))
        seconds = in_turn(steps, arguments.repeats)
    return compared(seconds, 'PyTorch', arguments.batch)


def _runtime_steps(
    arguments: argparse.Namespace, model: nn.Module, config: Config, folder: Path
) -> dict[str, Callable[[], object]]:
    from mmps.apis.network import Preprocessing
    from mmps.apis.preprocessing import model_file
    from mmps.deployment.export import ExportablePersonSearch, write_int8, write_onnx
    from mmps.deployment.exported_model import ExportedPersonSearch, network_inputs
    from mmps.deployment.runtimes import INPUTS

    batch = scenes(arguments)
    for sample in batch['data_samples']:
        del sample.gt_instances
    file = model_file(config, model, 'random weights')
    plain = ExportablePersonSearch(model).eval()
    arrays = network_inputs(**batch, size_divisor=file.size_divisor)
    tensors = [torch.from_numpy(arrays[name]) for name in INPUTS]

    def step_of(function: Callable, *given: Any) -> Callable[[], object]:
        return lambda: torch.no_grad()(function)(*given)

    files = {'': folder / 'model.onnx'}
    write_onnx(model, files[''], file)
    if arguments.int8:
        files[', int8'] = folder / 'int8.onnx'
        images = [image.permute(1, 2, 0).numpy() for image in batch['inputs']]
        write_int8(files[''], files[', int8'], Preprocessing(config), images)
    steps = {
        'PyTorch': step_of(model.test_step, batch),
        'PyTorch, layers written plainly': step_of(plain, *tensors),
    }
    for backend, name in {'onnxruntime': 'ONNX Runtime', 'openvino': 'OpenVINO'}.items():
        for suffix, path in files.items():
            exported = ExportedPersonSearch(path, backend, threads=arguments.threads)
            steps[name + suffix] = step_of(exported.test_step, batch)
    if cpu_has_bfloat16():
        autocast = torch.autocast('cpu', torch.bfloat16)
        steps['PyTorch, bfloat16'] = step_of(autocast(model.test_step), batch)
        exported = ExportedPersonSearch(
            files[''], 'openvino', threads=arguments.threads, precision='bfloat16'
        )
        steps['OpenVINO, bfloat16'] = step_of(exported.test_step, batch)
    return steps


def load_model(arguments: argparse.Namespace) -> tuple[nn.Module, Config]:
    """The model of a config with random weights, and the config."""
    keep_freed_memory()
    MMLogger.get_instance('benchmark', log_level='WARNING')  # mmengine would tell of every weight
    init_default_scope('mmps')
    config = load_config(arguments.config, arguments.cfg_options)
    config.model.pretrained = None
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    model.init_weights()
    return model.to(arguments.device), config


def optimiser_of(model: nn.Module, config: Config) -> OptimWrapper:
    """The optimiser of a config, as a runner builds it."""
    # The method needs of its runner nothing but the model.
    return Runner.build_optim_wrapper(SimpleNamespace(model=model), config.optim_wrapper)


def scenes(arguments: argparse.Namespace) -> dict:
    """A batch of random images of the wanted size."""
    width, height = (int(side) for side in arguments.size.split('x'))
    return random_scenes([PEOPLE] * arguments.batch, size=(height, width))


def measure(
    step: Callable[[], object],
    model: nn.Module,
    arguments: argparse.Namespace,
    images: int,
    dtype: torch.dtype = torch.float32,
    optim_wrapper: OptimWrapper | None = None,
) -> list[Measurement]:
    """Seconds and floating-point operations of a ``step`` of so many images, as a whole and stage
    by stage; size and memory of the model.

    Args:
        dtype: What most of the step is computed in; its matrix product is the peak.
    """
    device, on_gpu = arguments.device, arguments.device.startswith('cuda')

    def clock() -> float:
        if on_gpu:
            torch.cuda.synchronize(device)
        return time.perf_counter()

    def by_stage(read: Callable[[], float]) -> dict[str, float]:
        with metered(read, SimpleNamespace(model=model, optim_wrapper=optim_wrapper)) as amounts:
            step()
        return {name: amount / images for name, amount in amounts.items()}

    # Operations of other threads are not counted.
    with plain_layers('workers'), FlopCounterMode(display=False) as counter:
        operations = by_stage(counter.get_total_flops)
    flops = sum(operations.values())
    runs = [by_stage(clock) for _ in range(arguments.repeats)]
    best = min(runs, key=lambda run: sum(run.values()))
    seconds = [sum(run.values()) for run in runs]
    if on_gpu:  # stages wait for the GPU one by one, a step does not
        seconds = [seconds_of(step, clock) / images for _ in range(arguments.repeats)]
    memory = _peak_memory(device)  # before the products, which take some of their own
    # PyTorch convolves float32 in TF32 on a GPU.
    tf32 = on_gpu and dtype == torch.float32 and torch.backends.cudnn.allow_tf32
    precision = 'TF32' if tf32 else str(dtype).removeprefix('torch.')
    side = 8192 if on_gpu else 2048
    matrix = torch.randn(side, side, device=device).to(dtype)
    before, torch.backends.cuda.matmul.allow_tf32 = torch.backends.cuda.matmul.allow_tf32, tf32
    try:
        rate = 2 * side**3 / min(seconds_of(lambda: matrix @ matrix, clock) for _ in range(5))
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    least = min(seconds)
    measured = [
        Measurement('parameters', sum(p.numel() for p in model.parameters()) / 1e6, 'M'),
        Measurement('operations per image, without RoIAlign', flops / 1e9, 'GFLOP'),
        Measurement('time per image', least, 's'),
        Measurement('slowest run', max(seconds), 's'),
        Measurement('images per second', 1 / least, '/s'),
        Measurement(f'peak: matrix product in {precision}', rate / 1e9, 'GFLOP/s'),
        Measurement('floor: operations over the rate of a matrix product', flops / rate, 's'),
        Measurement('share of the peak', 100 * flops / rate / least, '%'),
        *memory,
    ]
    for name in sorted(best, key=best.get, reverse=True):
        taken, count = best[name], operations.get(name, 0.0)
        measured += [
            Measurement('time', taken, 's', name),
            Measurement('share of time', 100 * taken / sum(best.values()), '%', name),
            Measurement('operations', count / 1e9, 'GFLOP', name),
            Measurement('share of the peak', 100 * count / rate / taken, '%', name),
        ]
    return measured


def _peak_memory(device: str) -> list[Measurement]:
    if not device.startswith('cuda'):
        return [Measurement('peak memory', peak_memory(), 'MiB')]
    # Of all that runs on the GPU, with its context.
    free, total = torch.cuda.mem_get_info(device)
    return [
        Measurement('peak memory', (total - free) / 2**20, 'MiB'),
        Measurement('of that, tensors', torch.cuda.max_memory_allocated(device) / 2**20, 'MiB'),
    ]


@contextmanager
def metered(
    read: Callable[[], float], owner: Any, stages: tuple = STAGES
) -> Iterator[dict[str, float]]:
    """Divides what a meter counts in this context among the methods of ``stages`` that ``owner``
    has; a stage within another is not counted twice. The amounts are complete when it ends.

    What ``read`` gives only grows: a clock, a counter of operations.
    """
    amounts: dict[str, float] = defaultdict(float)
    within, last = [OTHER], read()

    def book() -> None:
        nonlocal last
        before, last = last, read()
        amounts[within[-1]] += last - before

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        book()
        within.append(name)
        try:
            yield
        finally:
            book()
            within.pop()

    with ExitStack() as stack:
        for name, path in stages:
            place, _, method = path.rpartition('.')
            try:
                target = attrgetter(place)(owner)
            except AttributeError:
                continue
            if method == 'forward' and getattr(target, '_compiled_call_impl', None) is not None:
                # A meter inside what is compiled would break it into parts.
                method = '_compiled_call_impl'
            if hasattr(target, method):
                counted = stage(name)(getattr(target, method))
                stack.enter_context(patch.object(target, method, counted))
        yield amounts
        book()
