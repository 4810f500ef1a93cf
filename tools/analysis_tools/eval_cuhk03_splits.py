"""Evaluate the classic splits of CUHK03 and give mean and standard deviation, as papers report.

``python tools/analysis_tools/eval_cuhk03_splits.py CONFIG 'predictions_{split}.npz'`` evaluates the
predictions file of each split on that split's test set, all with the options of the config's
``test_evaluator``.
"""

import argparse
from pathlib import Path

from mmps.cli.common import config_parser, load_test_config, run_tool
from mmps.utils.errors import UserError, data_errors

PLACE = '{split}'


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = config_parser('Mean and standard deviation over the classic splits of CUHK03.')
    parser.add_argument(
        'predictions',
        metavar=f'PATTERN_{PLACE}.npz',
        help=f'predictions file of each split; {PLACE} stands for its number, from 0',
    )
    parser.add_argument(
        '--splits', type=int, nargs='+', metavar='N', help='evaluate these alone (default: all)'
    )
    parser.add_argument('--out', metavar='M.json', help='also write all numbers to this file')
    return parser.parse_args(argv)


def find_predictions(pattern: str, splits: list[int]) -> dict[int, Path]:
    """The predictions file of each split."""
    if PLACE not in pattern:
        raise UserError(
            f'{pattern} has no {PLACE} in it; every split has a test set and a predictions file of '
            f"its own, e.g. 'predictions_{PLACE}.npz' (eval_search.py evaluates a single one)"
        )
    files = {split: Path(pattern.replace(PLACE, str(split))) for split in splits}
    missing = [split for split, path in files.items() if not path.is_file()]
    if missing:
        raise UserError(
            f'{files[missing[0]]} does not exist ({len(missing)} of {len(files)} files are '
            'missing); --splits chooses the splits to evaluate'
        )
    return files


def set_classic(config, path: str) -> None:
    """Make a config of the new protocol one of the classic protocol, with all its galleries."""
    from mmps.formats.cuhk03 import CLASSIC_GALLERIES
    from mmps.formats.from_config import search_evaluator

    dataset = config.test_dataloader.dataset
    if dataset.type != 'CUHK03Dataset':
        raise UserError(
            f'test_dataloader.dataset of {path} is {dataset.type}; only CUHK03Dataset has these '
            'splits'
        )
    if dataset.get('protocol') != 'classic':
        dataset.protocol = 'classic'
        search_evaluator(config, path).gallery_sizes = CLASSIC_GALLERIES


def choose_splits(config, wanted: list[int] | None) -> list[int]:
    """The splits to evaluate: at least two, each once."""
    from mmps.formats import scene_files
    from mmps.formats.cuhk03 import count_classic_splits

    every = range(count_classic_splits(scene_files(config.test_dataloader.dataset).crops_file))
    splits = list(every) if wanted is None else wanted
    unknown = [split for split in splits if split not in every]
    if unknown:
        raise UserError(f'--splits {unknown[0]}: the data set has the splits 0 to {len(every) - 1}')
    if len(set(splits)) < max(2, len(splits)):
        raise UserError('--splits: name two or more, each once; eval_search.py evaluates one')
    return splits


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    config = load_test_config(arguments)
    set_classic(config, arguments.config)

    from tqdm import tqdm

    from mmps.evaluation.functional import load_predictions, summarise_splits
    from mmps.evaluation.report import means_table
    from mmps.formats.from_config import search_protocols, test_annotations
    from mmps.utils.files import write_json

    found = {}
    with data_errors():
        protocols = search_protocols(config, arguments.config)
        splits = choose_splits(config, arguments.splits)
        files = find_predictions(arguments.predictions, splits)
        for split, path in tqdm(files.items(), 'Evaluating splits', delay=2, leave=False):
            config.test_dataloader.dataset.classic_split = split
            annotations = test_annotations(config)
            found[split] = protocols(annotations, load_predictions(path, annotations))
    summary = summarise_splits(found)
    print(means_table(summary))
    print(f'\nmean and standard deviation of {len(found)} splits')
    if arguments.out:
        write_json(arguments.out, {**vars(summary), 'splits': found})


if __name__ == '__main__':
    run_tool(main, needs_mmdet=False)
