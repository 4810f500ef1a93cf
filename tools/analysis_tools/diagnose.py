"""Where the mAP goes: split what is missing to 100 % by cause.

``python tools/analysis_tools/diagnose.py CONFIG PREDICTIONS.npz`` reads the test set of the config,
ranks as its ``test_evaluator`` does and prints what each kind of error costs.
"""

import argparse
from pathlib import Path

import numpy as np

from mmps.cli.common import config_parser, load_test_config, run_tool
from mmps.utils.errors import UserError, data_errors

SHEET_QUERIES = 8
"""Queries drawn of each sort, as many as fit on one sheet."""


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = config_parser('Split what is missing to an mAP of 100 % by cause.')
    parser.add_argument('predictions', help='.npz file, e.g. of tools/test.py --out')
    parser.add_argument(
        '--key',
        default='search/mAP',
        help='result to diagnose, as eval_search.py names it, e.g. search/mAP_cross_camera',
    )
    parser.add_argument(
        '--out', metavar='D.json', help='write everything to this file, and a picture to D.png'
    )
    parser.add_argument(
        '--show-dir', metavar='DIR', help='draw rankings of the worst and the median queries'
    )
    return parser.parse_args(argv)


def ranking_options(protocols, annotations, key: str) -> dict:
    """What the result ``key`` of the metric is made with: arguments of ``diagnose_search``."""
    from mmps.evaluation.functional.galleries import EVERYWHERE
    from mmps.evaluation.functional.protocols import STRICT_IOU

    if protocols.query_source != 'ground_truth':
        raise UserError(
            f'query_source={protocols.query_source!r} cannot be diagnosed; '
            'add --cfg-options test_evaluator.query_source=ground_truth'
        )
    options = dict(
        score_thr=protocols.score_thr,
        iou_thr=protocols.iou_thr,
        confidence_weighting=protocols.confidence_weighting,
        context_matching=protocols.context_matching,
        cross_camera=False,
        gallery_size=protocols.gallery_sizes[0],
    )
    changes = {
        '': {},
        '_iou75': dict(iou_thr=STRICT_IOU),
        '_cross_camera': dict(cross_camera=True),
        '_gt_boxes': {},
    }
    for size in [*annotations.galleries, EVERYWHERE] if annotations.galleries else []:
        suffix = f'_G{size}' if isinstance(size, int) else f'_{size}'
        changes[suffix] = dict(gallery_size=size)
    known = {f'search/mAP{suffix}': change for suffix, change in changes.items()}
    if key not in known:
        raise UserError(f'--key {key}: choose one of {", ".join(known)}')
    return options | known[key]


def print_table(loss, key: str) -> None:
    """One line per part, in mAP points."""
    from mmps.evaluation.functional.diagnosis import Part

    reached = loss.mean_average_precision
    print(f'{key} {reached:.2%}, {len(loss.queries)} searches')
    print(f'{"where the rest goes":<36}{"mAP points":>12}{"of the loss":>13}')
    for part, share in zip(Part, loss.mean_parts, strict=True):
        of_loss = f'{share / (1 - reached):.1%}' if share else '-'
        print(f'  {part.label:<34}{100 * share:>12.2f}{of_loss:>13}')
    print(f'  {"together":<34}{100 * loss.mean_parts.sum():>12.2f}')


def draw_rankings(config, annotations, predictions, loss, folder: str, options: dict) -> None:
    """Ranking sheets of the worst and the median queries."""
    from mmps.formats.from_config import test_image_root
    from mmps.utils.image_folder import ImageFolder
    from mmps.visualization import save_ranking_sheets

    folder_of_images = ImageFolder(test_image_root(config))
    files = {name: folder_of_images.path(name) for name in annotations.image_names}
    queries = loss.worst_queries
    middle = max(0, (len(queries) - SHEET_QUERIES) // 2)
    chosen = {'worst': queries[:SHEET_QUERIES], 'median': queries[middle:][:SHEET_QUERIES]}
    for name, rows in chosen.items():
        sheets = save_ranking_sheets(
            annotations, predictions, files, Path(folder, name), queries=rows, **options
        )
        for sheet in sheets:
            print(f'{name} queries: {sheet}')


def save(annotations, loss, arguments, options: dict) -> None:
    """The JSON file and the picture."""
    from mmps.evaluation.functional.diagnosis import break_down, diagnosis_report
    from mmps.utils.files import write_json
    from mmps.visualization.charts import save_diagnosis

    breakdowns = break_down(annotations, loss)
    report = diagnosis_report(annotations, loss, breakdowns)
    context = options['context_matching']
    options = options | dict(context_matching=context and vars(context))
    write_json(arguments.out, dict(key=arguments.key, options=options) | report)
    picture = Path(arguments.out).with_suffix('.png')
    save_diagnosis(picture, loss, breakdowns, arguments.key)
    print(f'everything: {arguments.out}\npicture: {picture}')


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    config = load_test_config(arguments)

    from mmps.evaluation.functional import load_predictions, with_ground_truth_boxes
    from mmps.evaluation.functional.diagnosis import diagnose_search
    from mmps.formats.from_config import search_protocols, test_annotations

    with data_errors():
        protocols = search_protocols(config, arguments.config)
        annotations = test_annotations(config)
        options = ranking_options(protocols, annotations, arguments.key)
        if arguments.show_dir and options['context_matching']:
            raise UserError(
                '--show-dir draws rankings without context matching; '
                'add --cfg-options test_evaluator.context_matching=None'
            )
        predictions = load_predictions(arguments.predictions, annotations)
        if arguments.key.endswith('_gt_boxes'):
            predictions = with_ground_truth_boxes(annotations, predictions)
        loss = diagnose_search(annotations, predictions, **options)
    print_table(loss, arguments.key)
    lonely = annotations.num_queries - len(np.unique(loss.queries))
    if lonely:
        print(f'{lonely} queries with nobody to find are left out')
    if arguments.out:
        save(annotations, loss, arguments, options)
    if arguments.show_dir:
        del options['context_matching']
        draw_rankings(config, annotations, predictions, loss, arguments.show_dir, options)


if __name__ == '__main__':
    run_tool(main, needs_mmdet=False)
