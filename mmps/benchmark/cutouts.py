"""Search with queries cut out of their scenes, as they are and as ``--box whole`` takes them."""

import argparse
from collections.abc import Callable, Sequence
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
    add_options(parser, 'config')
    parser.add_argument('checkpoint', help='weights of the model')
    parser.add_argument('predictions', help='.npz file that tools/test.py --out wrote with them')


def run(arguments: argparse.Namespace) -> list[Measurement]:
    """What is searched are the detections of a predictions file."""
    config = load_config(arguments.config, arguments.cfg_options)
    annotations, root = test_annotations(config), test_image_root(config)
    protocols = search_protocols(config, arguments.config)
    predictions = load_predictions(arguments.predictions)
    searcher = PersonSearcher(config, arguments.checkpoint, 'cpu')
    cuts, near = [], []
    for image, bbox in zip(annotations.query_images, annotations.query_bboxes, strict=True):
        scene = read_image(root / annotations.image_names[image])
        cuts.append(inside(scene, bbox))
        near.append(near_by(scene, bbox))

    def measure(
        name: str, embed: Callable[..., np.ndarray], pictures: Sequence[tuple]
    ) -> list[Measurement]:
        rows = np.stack([embed(*picture) for picture in pictures])
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

    def at_its_box(image: np.ndarray, bbox: Sequence[float]) -> np.ndarray:
        return searcher.embed(image, [bbox])[0]

    def whole(image: np.ndarray, bbox: np.ndarray) -> np.ndarray:
        return searcher.query(inside(image, bbox), 'whole').embedding

    boxed = [(cut, np.array([0, 0, *cut.shape[1::-1]])) for cut in cuts]
    return [
        *_measured('in its scene', predictions),
        *measure('cut out', at_its_box, boxed),
        *measure('cut out, --box whole', whole, boxed),
        *measure('near by', at_its_box, near),
        *measure('near by, cut out, --box whole', whole, near),
    ]


def near_by(scene: np.ndarray, bbox: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The picture that a telephone takes of a person (4,) xyxy in a scene, and the person's box."""
    x, height = bbox[[0, 2]].mean(), (bbox[3] - bbox[1]) / SHARE
    top, width = bbox[1] - (1 - SHARE) / 2 * height, ASPECT * height
    area = np.array([x - width / 2, top, x + width / 2, top + height])
    corner = np.round(area[:2]).astype(int).clip(0)
    picture = inside(scene, area).repeat(ENLARGED, 0).repeat(ENLARGED, 1)
    return picture, ENLARGED * (bbox - np.tile(corner, 2))
