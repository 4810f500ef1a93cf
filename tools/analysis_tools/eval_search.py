"""Evaluate a predictions file without its model.

``python tools/analysis_tools/eval_search.py CONFIG PREDICTIONS.npz`` reads the test set of the
config, applies the options of its ``test_evaluator`` and prints what ``tools/test.py`` would.
"""

import argparse

from mmps.cli.common import add_resample_argument, config_parser, load_test_config, run_tool
from mmps.utils.errors import data_errors


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = config_parser('Evaluate a predictions file on the test set of a config.')
    parser.add_argument('predictions', help='.npz file, e.g. of tools/test.py --out')
    parser.add_argument('--out', metavar='M.json', help='also write the metrics to this file')
    parser.add_argument(
        '--bootstrap',
        type=int,
        nargs='?',
        const=10_000,
        metavar='N',
        help='give 95%% confidence intervals of the search, from N resamples (default 10,000)',
    )
    add_resample_argument(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    config = load_test_config(arguments)

    from mmps.evaluation.functional import bootstrap_intervals, load_predictions
    from mmps.evaluation.functional.open_set import open_set_intervals
    from mmps.evaluation.report import metrics_table
    from mmps.formats.from_config import search_protocols, test_annotations
    from mmps.utils.files import write_json

    intervals = {}
    with data_errors():
        protocols = search_protocols(config, arguments.config)
        annotations = test_annotations(config)
        predictions = load_predictions(arguments.predictions, annotations)
        results = protocols.search(annotations, predictions)
        detection = protocols.detect(annotations, predictions)
        open_set = protocols.search_open_set(annotations, predictions)
        metrics = protocols.summarise(annotations, results, detection, open_set)
        if arguments.bootstrap is not None:
            units = annotations.query_person_ids if arguments.resample == 'person' else None
            options = dict(resamples=arguments.bootstrap, units=units)
            found = bootstrap_intervals(results, **options)
            for suffix, result in open_set.items():
                of_suffix = open_set_intervals(result, **options)
                found |= {f'{key}{suffix}': interval for key, interval in of_suffix.items()}
            intervals = {f'search/{key}': interval for key, interval in found.items()}
    print(metrics_table(metrics, intervals))
    if arguments.out:
        for key, interval in intervals.items():
            metrics |= {f'{key}_ci_low': interval.low, f'{key}_ci_high': interval.high}
        write_json(arguments.out, metrics)


if __name__ == '__main__':
    run_tool(main, needs_mmdet=False)
