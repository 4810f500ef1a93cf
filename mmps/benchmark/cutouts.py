"""Search with queries cut out of their scenes, as they are and as ``--box whole`` takes them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mmps.apis import PersonSearcher
from mmps.benchmark.measurement import Measurement, add_options
from mmps.evaluation.functional import load_predictions, rank_queries
from mmps.formats.from_config import search_protocols, test_annotations, test_image_root
from mmps.sources import read_image
from mmps.utils.config import load_config

ENLARGED = 5
"""How much larger a phone shows the same person."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the subcommand."""
    add_options(parser, 'config')
    parser.add_argument('checkpoint', help='weights of the model')
    parser.add_argument('predictions', help='.npz file that tools/test.py --out wrote with them')


def run(arguments: argparse.Namespace) -> list[Measurement]:
    """Search with queries cut out of their scenes, as they are and as ``--box whole`` takes them.

    What is searched are the detections of a predictions file.
    """
    config = load_config(arguments.config, arguments.cfg_options)
    annotations, root = test_annotations(config), test_image_root(config)
    protocols = search_protocols(config, arguments.config)
    predictions = load_predictions(arguments.predictions)
    searcher = PersonSearcher(config, arguments.checkpoint, 'cpu')
    cuts = []
    for image, bbox in zip(annotations.query_images, annotations.query_bboxes, strict=True):
        scene = read_image(root / annotations.image_names[image])
        cuts.append(cut_out(scene, bbox))

    def measure(name: str, embed: Callable[[np.ndarray], np.ndarray]) -> list[Measurement]:
        rows = np.stack([embed(cut) for cut in cuts])
        return _measured(name, replace(predictions, query_embeddings=rows))

    def _measured(name, found) -> list[Measurement]:
        (result,) = rank_queries(
            annotations,
            found,
            score_thr=protocols.score_thr,
            cross_camera=protocols.cross_camera,
            gallery_size=protocols.gallery_sizes[0],
        )
        ranks = result.answerable.first_rank.astype(float)
        ranks[ranks == 0] = np.inf
        numbers = result.metrics() | {'median rank of the first right scene': np.median(ranks)}
        return [Measurement(key, float(value), '', name) for key, value in numbers.items()]

    def enlarged(cut: np.ndarray) -> np.ndarray:
        return cut.repeat(ENLARGED, 0).repeat(ENLARGED, 1)

    def as_it_is(cut: np.ndarray) -> np.ndarray:
        return searcher.embed(cut, [(0, 0, *cut.shape[1::-1])])[0]

    def whole(cut: np.ndarray) -> np.ndarray:
        return searcher.query(cut, 'whole').embedding

    return [
        *_measured('in its scene', predictions),
        *measure('cut out', as_it_is),
        *measure('cut out, --box whole', whole),
        *measure(f'enlarged {ENLARGED} times', lambda cut: as_it_is(enlarged(cut))),
        *measure(f'enlarged {ENLARGED} times, --box whole', lambda cut: whole(enlarged(cut))),
    ]


def cut_out(scene: np.ndarray, bbox: np.ndarray) -> np.ndarray:
    """A person (4,) xyxy of a scene (h, w, 3), in whole pixels."""
    left, top, right, bottom = np.round(bbox).astype(int).clip(0, [*scene.shape[1::-1]] * 2)
    return scene[top:bottom, left:right]
