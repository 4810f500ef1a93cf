"""What a test set asks for: baselines on its annotated boxes, and predictions beside them.

``python tools/analysis_tools/eval_baselines.py CONFIG NAME=PREDICTIONS.npz ...`` reads the test set
of the config, evaluates as its ``test_evaluator`` says and prints one table.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from mmps.cli.common import config_parser, load_test_config, run_tool
from mmps.utils.errors import UserError, data_errors

COLUMNS = {
    'mAP': 'search/mAP',
    'top-1': 'search/top1',
    'cross-camera mAP': 'search/mAP_cross_camera',
    'cross-camera top-1': 'search/top1_cross_camera',
    'mAP, true boxes': 'search/mAP_gt_boxes',
    'top-1, true boxes': 'search/top1_gt_boxes',
    'detection AP': 'det/AP',
}
ON_TRUE_BOXES = {
    'random': 'random',
    'HSV histograms of 6 stripes': 'hsv_stripes',
    '8 x 20 pixels': 'pixels',
}
"""Rows and the baselines that they are."""


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = config_parser('Evaluate baselines, and predictions beside them, in one table.')
    parser.add_argument(
        'predictions',
        nargs='*',
        metavar='NAME=P.npz',
        help='a row: its name and a predictions file, e.g. of tools/test.py --out',
    )
    parser.add_argument('--out', metavar='M.json', help='also write all metrics to this file')
    return parser.parse_args(argv)


def named_files(arguments: list[str]) -> dict[str, Path]:
    """Rows and their predictions files."""
    files = {}
    for argument in arguments:
        name, separator, path = argument.partition('=')
        if not (name and separator and path):
            raise UserError(f'{argument}: give a row as NAME=PREDICTIONS.npz')
        if name in files or name in ON_TRUE_BOXES:
            raise UserError(f'{argument}: there is a row {name!r} already; give another NAME')
        files[name] = Path(path)
    return files


def evaluate(config, path: str, files: dict[str, Path]) -> Iterator[tuple[str, dict]]:
    """Each row's name and metrics; the baselines first."""
    from mmps.evaluation.baselines import BASELINES
    from mmps.evaluation.functional import load_predictions
    from mmps.formats.from_config import search_protocols, test_annotations, test_image_root

    protocols, truth = search_protocols(config, path), test_annotations(config)
    for name, baseline in ON_TRUE_BOXES.items():
        metrics = protocols(truth, BASELINES[baseline](truth, test_image_root(config)))
        # Nobody is detected: what was found are the annotated boxes.
        search = {key: value for key, value in metrics.items() if key.startswith('search/')}
        found = {key: value for key, value in search.items() if '_gt_boxes' in key}
        across = {key: value for key, value in search.items() if '_cross_camera' in key}
        yield name, found | across
    for name, file in files.items():
        yield name, protocols(truth, load_predictions(file, truth))


def markdown(rows: dict[str, dict]) -> str:
    """One line per row, with a dash where it has no such metric."""
    lines = [['', *COLUMNS], ['---'] * (1 + len(COLUMNS))]
    for name, metrics in rows.items():
        cells = (metrics.get(key) for key in COLUMNS.values())
        lines.append([name, *('-' if cell is None else f'{cell:.3f}' for cell in cells)])
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    files = named_files(arguments.predictions)
    config = load_test_config(arguments)

    from mmps.utils.files import write_json

    with data_errors():
        rows = dict(evaluate(config, arguments.config, files))
    print(markdown(rows))
    if arguments.out:
        write_json(arguments.out, rows)


if __name__ == '__main__':
    run_tool(main, needs_mmdet=False)
