"""Which similarity means the same person? The share of strangers that look at least as similar.

Three ways to know strangers: a labelled data set and what a model found there, the people in one
frame of a gallery, and the marks of users of the page:

``python tools/analysis_tools/calibrate.py CONFIG PREDICTIONS.npz --gallery people.lance``
``python tools/analysis_tools/calibrate.py --gallery people.lance``
``python tools/analysis_tools/calibrate.py --gallery people.lance --marks hits1.json hits2.json``
"""

import argparse
from typing import TYPE_CHECKING

from mmps.cli.common import add_config_options, load_test_config, run_tool
from mmps.utils.errors import UserError, data_errors

if TYPE_CHECKING:
    from mmps.evaluation.functional import Calibration
    from mmps.retrieval import Gallery

SHOWN = (0.5, 0.1, 0.01, 1e-3, 1e-4, 1e-5, 1e-6)
"""Shares of strangers of which the similarity is printed, as far as it is known."""


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Count how similar strangers look; searches of the gallery then say so.'
    )
    parser.add_argument('config', nargs='?', help='config whose test set is labelled')
    parser.add_argument(
        'predictions', nargs='?', help='what the model found there, of tools/test.py --out'
    )
    add_config_options(parser)
    parser.add_argument('--gallery', help='where to keep it, and to count without labels')
    parser.add_argument(
        '--marks', nargs='+', default=(), metavar='HITS.json',
        help='count marked hits: files that the page saved, each of a search for another person',
    )  # fmt: skip
    parser.add_argument(
        '--out', metavar='FILE.json', help='write it to this file instead, for --calibration'
    )
    parser.add_argument(
        '--check', type=int, nargs='?', const=20, metavar='N',
        help='instead, see whether what half of the people of the labelled data set say holds for '
        'the other half, N times (default: 20)',
    )  # fmt: skip
    arguments = parser.parse_args(argv)
    if arguments.check is not None and (arguments.check < 1 or not arguments.config):
        parser.error('--check N needs CONFIG and PREDICTIONS.npz, and an N of 1 at least')
    if arguments.config and not arguments.predictions:
        parser.error('CONFIG needs PREDICTIONS.npz beside it, of tools/test.py --out')
    if not arguments.gallery and (arguments.out or not arguments.config):
        parser.error('--gallery is needed: it says which model the similarities are of')
    if arguments.marks and arguments.config:
        parser.error('--marks and CONFIG PREDICTIONS.npz are two ways to calibrate; give one')
    return arguments


def read_labelled(arguments: argparse.Namespace) -> tuple:
    """Ground truth and predictions of the labelled data set, and the score threshold."""
    config = load_test_config(arguments)

    from mmps.evaluation.functional import load_predictions
    from mmps.formats.from_config import search_protocols, test_annotations

    with data_errors():
        score_thr = search_protocols(config, arguments.config).score_thr
        annotations = test_annotations(config)
        return annotations, load_predictions(arguments.predictions, annotations), score_thr


def calibrate(gallery: 'Gallery | None', arguments: argparse.Namespace) -> 'Calibration':
    if gallery is not None and not arguments.config:
        return gallery.calibrate(arguments.marks)

    from mmps.apis.judgement import calibrate_labelled

    annotations, predictions, score_thr = read_labelled(arguments)
    model = gallery.model if gallery is not None else None
    return calibrate_labelled(annotations, predictions, model, score_thr)


def check(arguments: argparse.Namespace) -> None:
    """Print how labels and frames of half of the people hold for the other half."""
    from mmps.apis.judgement import check_line
    from mmps.evaluation.functional import calibrate_pairs
    from mmps.evaluation.functional.calibration import (
        check_calibration,
        labelled_pictures,
        pairs_by_label,
        pairs_in_scenes,
    )

    pictures = labelled_pictures(*read_labelled(arguments))
    ways = {
        'labels': lambda half: calibrate_pairs(pairs_by_label(half)[0], 'labels'),
        'frames': lambda half: calibrate_pairs(pairs_in_scenes(half), 'frames'),
    }
    print(
        'by      stated        95 % interval         other half        least to most         held'
    )
    for name, way in ways.items():
        try:
            rows = check_calibration(pictures, way, halvings=arguments.check)
        except ValueError as error:
            print(f'{name:<6}  half of the people are too few: {error}')
            continue
        if rows.empty:
            print(f'{name:<6}  there are too few pairs to state even 1 in 10')
        for row in rows.itertuples():
            interval = f'1 in {inverse(row.high)} to {inverse(row.low)}'
            ends = f'1 in {inverse(row.most)} to {inverse(row.least)}'
            measured, held = f'1 in {inverse(row.measured)}', f'{row.held} of {row.halvings}'
            print(
                f'{name:<6}  1 in {inverse(row.stated):<7}  {interval:<20}  {measured:<16}  '
                f'{ends:<20}  {held}'
            )

    try:
        line = check_line(pictures, halvings=arguments.check)
    except ValueError as error:
        print(f'the line: half of the people are too few: {error}')
        return
    print(
        f'a person who is there: {line["there_found"]:.0%} have a right hit above the line, of '
        f'{line["there_denied"]:.0%} it says "probably not here"; strangers are '
        f'{line["strangers_above"]:.0%} of the hits above it (mean) and '
        f'{line["strangers_below"]:.0%} below\n'
        f'a person who is not: of {line["absent_denied"]:.0%} it says "probably not here", '
        f'{line["absent_found"]:.0%} have a hit above the line'
    )


def inverse(share: float) -> str:
    """So many strangers of whom one looks as similar."""
    if not share:
        return 'more'
    return f'{1 / share:.1f}' if share > 0.15 else f'{float(f"{1 / share:.2g}"):,.0f}'


def print_table(calibration: 'Calibration') -> None:
    """Similarity by share of strangers, with the interval of that share."""
    from mmps.apis.judgement import describe_chance

    what = 'searches' if calibration.source == 'marks' else 'people'
    print(f'{calibration.pairs:,} pairs of strangers, {calibration.people:,} {what}')
    found = '' if calibration.found is None else '  same person'
    print(f'strangers       similarity  95 % interval{" " * 9}{found}'.rstrip())
    for rate in [*(rate for rate in SHOWN if rate > calibration.floor), calibration.floor]:
        similarity = calibration.similarity_at(rate)
        if similarity is None or rate > calibration.rates[0]:
            continue
        match = calibration.false_match(similarity)
        ends = f'1 in {inverse(match.high)} to {inverse(match.low)}'
        share = calibration.found_at(similarity)
        found = '' if share is None else f'  {share:.1%}'
        print(f'{describe_chance(match):<14}  {similarity:<10.3f}  {ends:<22}{found}'.rstrip())
    print('more similar ones are rarer than the last line says; by how much cannot be told')


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    if arguments.check is not None:
        check(arguments)
        return

    from mmps.retrieval import Gallery, save_calibration

    gallery = Gallery.open(arguments.gallery, create=False) if arguments.gallery else None
    calibration = calibrate(gallery, arguments)
    print_table(calibration)
    if gallery is None:
        print('kept nowhere: give --gallery')
    elif arguments.out:
        save_calibration(arguments.out, calibration, gallery.model)
        print(f'written to {arguments.out}')
    elif gallery.keep_calibration(calibration):
        print(f'kept beside {arguments.gallery}; searches use it')
    else:
        raise UserError(
            f'{arguments.gallery} has no folder to keep it in; write it with --out FILE.json, and '
            'give that to search_person.py and demo.py as --calibration FILE.json'
        )


if __name__ == '__main__':
    run_tool(main, needs_mmdet=False)
