"""Evaluate a predictions file without its model.

``python tools/analysis_tools/eval_search.py CONFIG PREDICTIONS.npz`` reads the test set of the
config, applies the options of its ``test_evaluator`` and prints what ``tools/test.py`` would.
"""

import argparse

from mmps.utils.cli import (
    UserError,
    config_parser,
    load_config,
    require_entries,
    run_tool,
    search_evaluator,
)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = config_parser('Evaluate a predictions file on the test set of a config.')
    parser.add_argument('predictions', help='.npz file, e.g. of tools/test.py --out')
    parser.add_argument('--out', metavar='M.json', help='also write the metrics to this file')
    return parser.parse_args(argv)


def load_annotations(config):
    """Ground truth and protocol of the config's test set."""
    from mmps.registry import DATASETS

    # no image is read, so nothing has to be built that would process one
    dataset = DATASETS.build({**config.test_dataloader.dataset, 'pipeline': []})
    if not hasattr(dataset, 'search_annotations'):
        raise UserError(f'test_dataloader.dataset: {type(dataset).__name__} has no search protocol')
    return dataset.search_annotations


def print_table(metrics: dict[str, float]) -> None:
    """One line per kind of result: a suffix such as ``_iou75``, or none."""
    columns = ('search/mAP', 'search/top1', 'search/top5', 'search/top10', 'det/AP', 'det/recall')
    first = columns[0]
    kinds = [key.removeprefix(first) for key in metrics if key.startswith(first)]
    width = max(len(kind) for kind in kinds) + 2
    print(' ' * width + ''.join(f'{column:>14}' for column in columns))
    for kind in kinds:
        values = [metrics.get(column + kind) for column in columns]
        cells = [f'{"-":>14}' if value is None else f'{value:>14.2%}' for value in values]
        print(f'{kind.lstrip("_"):<{width}}' + ''.join(cells))


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    config = load_config(arguments.config, arguments.cfg_options)
    require_entries(config, arguments.config, ('test_dataloader', 'test_evaluator'))

    from mmengine.registry import init_default_scope

    from mmps.evaluation.functional import load_predictions
    from mmps.registry import METRICS
    from mmps.utils.files import write_json

    init_default_scope('mmps')
    try:
        metric = METRICS.build(search_evaluator(config, arguments.config))
        annotations = load_annotations(config)
        predictions = load_predictions(arguments.predictions, annotations)
        metrics = metric.evaluate_predictions(annotations, predictions)
    except ValueError as error:
        raise UserError(error) from error
    print_table(metrics)
    if arguments.out:
        write_json(arguments.out, metrics)


if __name__ == '__main__':
    run_tool(main)
