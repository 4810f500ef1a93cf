"""Is B better than A? Compare predictions files query by query, one or several seeds a side.

``python tools/analysis_tools/compare_predictions.py CONFIG A.npz B.npz`` evaluates both with the
options of the config's ``test_evaluator``. A pattern in quotes, such as ``'a_seed*/p.npz'``, stands
for the files of several trainings.
"""

import argparse
import glob
from dataclasses import asdict

from mmps.cli.common import add_resample_argument, config_parser, load_test_config, run_tool
from mmps.utils.errors import data_errors


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = config_parser('Compare predictions files on the test set of a config.')
    parser.add_argument(
        'first',
        metavar='A.npz',
        help='predictions to compare with; or a pattern in quotes: those of several seeds',
    )
    parser.add_argument('second', metavar='B.npz', help='predictions that may be better')
    parser.add_argument('--out', metavar='C.json', help='also write the numbers to this file')
    parser.add_argument(
        '--resamples', type=int, default=10_000, help='of interval and test (default: 10,000)'
    )
    parser.add_argument(
        '--confidence', type=float, default=0.95, help='of the intervals (default: 0.95)'
    )
    parser.add_argument('--seed', type=int, default=0, help='of the resampling (default: 0)')
    add_resample_argument(parser)
    return parser.parse_args(argv)


def files_of(pattern: str) -> list[str]:
    """The files that a pattern matches, or the one that it names."""
    return sorted(glob.glob(pattern, recursive=True)) or [pattern]


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    config = load_test_config(arguments)

    from mmps.evaluation.functional import compare_results, load_predictions
    from mmps.evaluation.report import comparison_table, verdict
    from mmps.formats.from_config import search_protocols, test_annotations
    from mmps.utils.files import write_json

    sides = arguments.first, arguments.second
    with data_errors():
        protocols = search_protocols(config, arguments.config)
        annotations = test_annotations(config)
        results = [
            [protocols.search(annotations, load_predictions(f, annotations)) for f in files]
            for files in map(files_of, sides)
        ]
        found = compare_results(
            *results,
            resamples=arguments.resamples,
            confidence=arguments.confidence,
            seed=arguments.seed,
            units=annotations.query_person_ids if arguments.resample == 'person' else None,
        )
    print(comparison_table(found))
    conclusion = verdict(found['mAP'], *sides, arguments.confidence)
    print(f'\n{conclusion}')
    if arguments.out:
        numbers = {f'search/{key}': asdict(one) for key, one in found.items()}
        write_json(arguments.out, {'verdict': conclusion, **numbers})


if __name__ == '__main__':
    run_tool(main, needs_mmdet=False)
