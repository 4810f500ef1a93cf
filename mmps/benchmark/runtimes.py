"""Compare PyTorch, ONNX Runtime and OpenVINO on CPUs, in turn on the same image.

PyTorch runs twice: the model as it is, whose layers have forms of their own for speed, and the
network that is exported, whose layers are written plainly.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from mmps.benchmark import networks
from mmps.benchmark.measurement import Measurement
from mmps.benchmark.networks import load_model, scenes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the subcommand."""
    networks.add_arguments(parser)
    parser.add_argument('--threads', type=int, default=2, help='CPU threads (default: 2)')
    parser.add_argument('--int8', action='store_true', help='also the int8 forms')


def run(arguments: argparse.Namespace) -> list[Measurement]:
    """Measure: the median seconds per image of each, and the median of their ratios round by
    round, for what else a machine does changes from minute to minute.
    """
    torch.set_num_threads(arguments.threads)
    model, config = load_model(arguments)
    with TemporaryDirectory() as folder:
        steps = _steps(arguments, model.eval(), config, Path(folder))
        for step in steps.values():
            step()
        rounds = [
            {name: _seconds(step) / arguments.batch for name, step in steps.items()}
            for _ in range(arguments.repeats)
        ]
    measured = []
    for name in steps:
        seconds = [one[name] for one in rounds]
        ratio = statistics.median(one['PyTorch'] / one[name] for one in rounds)
        measured += [
            Measurement('time per image', statistics.median(seconds), 's', stage=name),
            Measurement('least', min(seconds), 's', stage=name),
            Measurement('times as fast as PyTorch', ratio, '', stage=name),
        ]
    return measured


def _steps(arguments, model, config, folder: Path) -> dict[str, Callable[[], object]]:
    from mmps.apis.preprocessing import Preprocessing, model_file
    from mmps.deployment import ExportedPersonSearch, write_onnx
    from mmps.deployment.export import ExportablePersonSearch, write_int8
    from mmps.deployment.exported_model import network_inputs
    from mmps.deployment.runtimes import INPUTS

    batch = scenes(arguments)
    for sample in batch['data_samples']:
        del sample.gt_instances

    def step_of(network) -> Callable[[], object]:
        def step() -> None:
            with torch.no_grad():
                network.test_step(batch)

        return step

    file = model_file(config, model, 'random weights')
    plain = ExportablePersonSearch(model).eval()
    arrays = network_inputs(**batch, size_divisor=file.size_divisor)
    tensors = [torch.from_numpy(arrays[name]) for name in INPUTS]

    def plain_step() -> None:
        with torch.no_grad():
            plain(*tensors)

    files = {'': folder / 'model.onnx'}
    write_onnx(model, files[''], file)
    if arguments.int8:
        files[', int8'] = folder / 'int8.onnx'
        images = [image.permute(1, 2, 0).numpy() for image in batch['inputs']]
        write_int8(files[''], files[', int8'], Preprocessing(config), images)
    steps = {'PyTorch': step_of(model), 'PyTorch, layers written plainly': plain_step}
    for backend, name in {'onnxruntime': 'ONNX Runtime', 'openvino': 'OpenVINO'}.items():
        for suffix, path in files.items():
            exported = ExportedPersonSearch(path, backend, threads=arguments.threads)
            steps[name + suffix] = step_of(exported)
    return steps


def _seconds(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start
