"""Search with queries cut out of their scenes, as they are and as ``--box whole`` takes them."""

import argparse
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mmps.apis import PersonSearcher
from mmps.benchmark.measurement import Measurement, add_options
from mmps.evaluation.functional import load_predictions, rank_queries
from mmps.formats.from_config import search_protocols, test_annotations, test_image_root
from mmps.sources import read_image
from mmps.utils.config import load_config
from mmps.visualization.draw import inside

ENLARGED, SHARE, ASPECT = 5, 0.8, 0.75
"""How much larger a telephone shows the same person, how much of the picture's height they take,
and the picture's width by its height."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_options(parser, 'config', 'checkpoint')
    parser.add_argument('predictions', help='.npz file that tools/test.py --out wrote with them')


def run(arguments: argparse.Namespace) -> list[Measurement]:
    """What is searched are the detections of a predictions file."""
    config = load_config(arguments.config, arguments.cfg_options)
    annotations, root = test_annotations(config), test_image_root(config)
    protocols = search_protocols(config, arguments.config)
    predictions = load_predictions(arguments.predictions)
    searcher = PersonSearcher(config, arguments.checkpoint, 'cpu')

    def at_its_box(image: np.ndarray, bbox: Sequence[float]) -> np.ndarray:
        return searcher.embed(image, [bbox])[0]

    def whole(image: np.ndarray, bbox: np.ndarray) -> np.ndarray:
        return searcher.query(inside(image, bbox), 'whole').embedding

    found = {'in its scene': predictions.query_embeddings}
    queries = zip(annotations.query_images, annotations.query_bboxes, strict=True)
    for image, bbox in queries:
        scene = read_image(root / annotations.image_names[image])
        cut = inside(scene, bbox)
        boxed = cut, np.array([0, 0, *cut.shape[1::-1]])
        near = near_by(scene, bbox)
        for name, row in {
            'cut out': at_its_box(*boxed),
            'cut out, --box whole': whole(*boxed),
            'near by': at_its_box(*near),
            'near by, cut out, --box whole': whole(*near),
        }.items():
            found.setdefault(name, []).append(row)
    measured = []
    for name, rows in found.items():
        (result,) = rank_queries(
            annotations,
            replace(predictions, query_embeddings=np.stack(rows)),
            score_thr=protocols.score_thr,
            cross_camera=protocols.cross_camera,
            gallery_size=protocols.gallery_sizes[0],
        )
        ranks = result.answerable.first_rank.astype(float)
        ranks[ranks == 0] = np.inf
        numbers = result.metrics() | {'median rank of the first right scene': np.median(ranks)}
        measured += [Measurement(key, float(value), '', name) for key, value in numbers.items()]
    return measured


def near_by(scene: np.ndarray, bbox: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The picture that a telephone takes of a person (4,) xyxy in a scene, and the person's box."""
    x, height = bbox[[0, 2]].mean(), (bbox[3] - bbox[1]) / SHARE
    top, width = bbox[1] - (1 - SHARE) / 2 * height, ASPECT * height
    area = np.array([x - width / 2, top, x + width / 2, top + height])
    corner = np.round(area[:2]).astype(int).clip(0)
    picture = inside(scene, area).repeat(ENLARGED, 0).repeat(ENLARGED, 1)
    return picture, ENLARGED * (bbox - np.tile(corner, 2))
