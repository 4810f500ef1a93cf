"""Draw the embeddings of a gallery or of a predictions file on a plane."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmps.cli.common import add_config_options, run_tool
from mmps.utils.config import load_config, require_entries
from mmps.utils.errors import UserError, data_errors

PICTURES = 24


@dataclass
class Embedded:
    """Embeddings (n, D), who each is, and the file, frame and box to show of them."""

    embeddings: np.ndarray
    labels: list[str | None]
    places: list[tuple[str, int, float | None]]
    bboxes: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> 'Embedded':
        return Embedded(
            self.embeddings[rows],
            [self.labels[row] for row in rows],
            [self.places[row] for row in rows],
            self.bboxes[rows],
        )


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', metavar='GALLERY|PREDICTIONS.npz')
    parser.add_argument('--out', required=True, metavar='MAP.png', help='where to draw it')
    parser.add_argument(
        '--config', help='whose test set the predictions are of: it says who everybody is'
    )
    add_config_options(parser)
    parser.add_argument(
        '--colour-by',
        metavar='KEY',
        default='camera',
        help='of a gallery: camera, source, or an entry of the metadata (default: camera)',
    )
    parser.add_argument(
        '--projection',
        choices=('tsne', 'pca'),
        default='tsne',
        help='tsne keeps neighbours together; pca is linear and shows the largest differences',
    )
    parser.add_argument(
        '--max-people',
        type=int,
        default=1000,
        help='spread evenly over all (default: %(default)s)',
    )
    return parser.parse_args(argv)


def of_predictions(arguments: argparse.Namespace) -> Embedded:
    """The detections of a predictions file; who they are is what they overlap."""
    from mmps.evaluation.functional import load_predictions
    from mmps.evaluation.functional.annotations import owners_of
    from mmps.evaluation.functional.matching import box_iou, match_people
    from mmps.formats.from_config import test_annotations, test_image_root
    from mmps.utils.image_folder import ImageFolder

    if arguments.config is None:
        raise UserError('a predictions file needs --config, whose test set says who everybody is')
    config = load_config(arguments.config, arguments.cfg_options)
    require_entries(config, arguments.config, ('test_dataloader',))
    annotations = test_annotations(config)
    predictions = load_predictions(arguments.source, annotations)
    images = owners_of(annotations.box_splits)
    ((people, rows),) = match_people(
        images, annotations.bboxes, predictions.image_splits, predictions.bboxes, ['adaptive']
    )
    order = np.argsort(box_iou(annotations.bboxes[people], predictions.bboxes[rows]), kind='stable')
    ids = np.full(len(predictions.bboxes), -1)
    ids[rows[order]] = annotations.person_ids[people[order]]  # the largest overlap comes last
    folder = ImageFolder(test_image_root(config))
    names = np.repeat(predictions.image_names, np.diff(predictions.image_splits))
    known = np.flatnonzero(ids >= 0)
    return Embedded(
        predictions.embeddings,
        [None if number < 0 else f'person {number}' for number in ids],
        [(folder.path(name), 0, None) for name in names],
        predictions.bboxes,
    )[known]


def of_gallery(arguments: argparse.Namespace) -> Embedded:
    """The people of a gallery."""
    from mmps.retrieval import Gallery

    gallery = Gallery.open(arguments.source, create=False)
    if not len(gallery):
        raise UserError(f'{arguments.source}: nobody is in this gallery')
    anyone = np.eye(1, gallery.model.embed_dim, dtype=np.float32)
    (hits,) = gallery.search(anyone, len(gallery))  # everybody, in whichever order
    hits = sorted(hits, key=lambda hit: (hit.source, hit.frame, hit.id))

    def label(hit) -> str | None:
        if arguments.colour_by == 'source':
            return Path(hit.source).name
        if arguments.colour_by == 'camera':
            return None if hit.camera is None else f'cam {hit.camera}'
        value = hit.metadata.get(arguments.colour_by)
        return None if value is None else f'{arguments.colour_by} {value}'

    return Embedded(
        gallery.embeddings_of([hit.id for hit in hits]),
        [label(hit) for hit in hits],
        [(hit.source, hit.frame, hit.offset) for hit in hits],
        np.array([hit.bbox for hit in hits], np.float32),
    )


def typical(labels: Sequence[str | None], points: np.ndarray) -> list[int]:
    """Of each named group the number of whoever is nearest to its middle."""
    from mmps.visualization.embedding_map import named_groups

    rows = []
    for name in named_groups(labels)[:PICTURES]:
        members = np.array([row for row, label in enumerate(labels) if label == name])
        distances = np.linalg.norm(points[members] - points[members].mean(0), axis=1)
        rows.append(int(members[distances.argmin()]))
    return rows


def all_over(points: np.ndarray) -> list[int]:
    """Numbers of people all over the map, each as far from those before as possible."""
    rows = [int(np.linalg.norm(points - points.mean(0), axis=1).argmin())]
    distances = np.full(len(points), np.inf)
    while len(rows) < min(PICTURES, len(points)):
        distances = np.minimum(distances, np.linalg.norm(points - points[rows[-1]], axis=1))
        rows.append(int(distances.argmax()))
    return rows


def pictures_of(people: Embedded, rows: Sequence[int]) -> dict[int, np.ndarray]:
    """Pictures of some people; whose file is gone has none."""
    from mmps.sources import read_frame

    pictures = {}
    for row in rows:
        try:
            scene = read_frame(*people.places[row])
        except (OSError, ValueError):
            continue
        x1, y1, x2, y2 = np.round(people.bboxes[row]).astype(int).clip(0)
        if x2 > x1 and y2 > y1:
            pictures[row] = scene[y1:y2, x1:x2]
    return {row: picture for row, picture in pictures.items() if picture.size}


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)

    from mmps.visualization.embedding_map import pca, save_embedding_map, tsne
    from mmps.visualization.sheets import spread

    with data_errors():
        load = of_predictions if arguments.source.endswith('.npz') else of_gallery
        people = load(arguments)
    total = len(people.labels)
    if total < 3:
        raise UserError(f'{arguments.source}: {total} people are too few for a map')
    people = people[np.array(spread(total, arguments.max_people))]
    shown = len(people.labels)
    points, share = pca(people.embeddings)
    method = f'principal components ({share:.0%} of the variance)'
    if arguments.projection == 'tsne':
        print(f't-SNE of {shown} people ...', file=sys.stderr)
        points, method = tsne(people.embeddings), 't-SNE: neighbours, not distances, mean something'
    everybody = f'{shown} people' if shown == total else f'{shown} of {total} people'
    by_place = load is of_gallery and arguments.colour_by in ('camera', 'source')
    pictured = all_over(points) if by_place else typical(people.labels, points)
    pictures = pictures_of(people, pictured)
    save_embedding_map(arguments.out, points, people.labels, f'{everybody}, {method}', pictures)
    print(f'picture: {arguments.out}')


if __name__ == '__main__':
    run_tool(main, needs_mmdet=False)
