"""Time indexing beside the network alone, and watch its memory."""

import argparse
import itertools
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from mmps.apis import PersonSearcher
from mmps.apis.network import TorchNetwork
from mmps.benchmark.measurement import Measurement, add_options, seconds_of
from mmps.sources import Reading, read_sources
from mmps.utils.config import load_config

HELD = 256
"""Images that the network alone is timed on, in memory."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_options(parser, 'config', '--repeats')
    parser.add_argument('checkpoint')
    parser.add_argument('sources', nargs='+', metavar='SOURCE', help='images, folders, videos')
    parser.add_argument('--fps', type=float, help='frames per second of videos (default: all)')
    parser.add_argument('--batch-size', type=int, help='images per pass (default: as in testing)')
    parser.add_argument('--device', default='auto')


def run(arguments: argparse.Namespace) -> list[Measurement]:
    """Time indexing and the network alone in turn, so that both see the same machine."""
    config = load_config(arguments.config, arguments.cfg_options)
    searcher = PersonSearcher(
        config, arguments.checkpoint, arguments.device, batch_size=arguments.batch_size
    )
    size = arguments.batch_size or config.test_dataloader.batch_size
    frames = read_sources(arguments.sources, Reading(arguments.fps))
    images = [frame.image for frame in itertools.islice(frames, HELD)]
    _network_rate(searcher.network, images[: 4 * size], size)  # warms up
    alone, indexing = [], []
    for _ in range(arguments.repeats):
        alone.append(_network_rate(searcher.network, images, size))
        with tempfile.TemporaryDirectory() as folder, _watched_memory() as samples:
            gallery = Path(folder, 'people.lance')
            report = searcher.index(arguments.sources, gallery, fps=arguments.fps)
        indexing.append(report.frames / report.seconds)
    tenths = np.array_split(samples, 10) if len(samples) >= 10 else [samples] * 10
    return [
        Measurement('images', report.frames, ''),
        Measurement('people', report.people, ''),
        Measurement('network alone', max(alone), 'images/s'),
        Measurement('indexing', max(indexing), 'images/s'),
        Measurement('share', 100 * max(indexing) / max(alone), '%'),
        Measurement('least share of one turn', 100 * np.divide(indexing, alone).min(), '%'),
        Measurement('memory in the second tenth of the time', float(np.median(tenths[1])), 'MiB'),
        Measurement('memory in the last tenth', float(np.median(tenths[-1])), 'MiB'),
        Measurement('largest memory', max(samples), 'MiB'),
    ]


def _network_rate(network: TorchNetwork, images: list[np.ndarray], size: int) -> float:
    """Images per second, resized and packed before the clock starts."""
    batches = [network.preprocessing(images[i : i + size]) for i in range(0, len(images), size)]

    @torch.no_grad()
    def pass_all() -> None:
        for batch in batches:
            samples = network.model.test_step(batch)
            samples[-1].pred_instances.embeddings.cpu()  # waits for a GPU

    return len(images) / seconds_of(pass_all)


@contextmanager
def _watched_memory(interval: float = 0.2) -> Iterator[list[float]]:
    """Resident size of this process in MiB, taken at regular times."""
    samples: list[float] = []
    stop = threading.Event()

    def watch() -> None:
        page = os.sysconf('SC_PAGE_SIZE') / 2**20
        while True:
            samples.append(int(Path('/proc/self/statm').read_text().split()[1]) * page)
            if stop.wait(interval):
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()
