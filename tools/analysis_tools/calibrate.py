"""Which similarity means the same person? The share of strangers that look at least as similar.

Three ways to know strangers: a labelled data set and what a model found there, the people in one
frame of a gallery, and the marks of users of the page:

``python tools/analysis_tools/calibrate.py CONFIG PREDICTIONS.npz --gallery people.lance``
``python tools/analysis_tools/calibrate.py --gallery people.lance``
``python tools/analysis_tools/calibrate.py --gallery people.lance --marks hits1.json hits2.json``
"""

import argparse
from typing import TYPE_CHECKING

from mmps.utils.cli import UserError, load_config, require_entries, run_tool

if TYPE_CHECKING:
    from mmps.evaluation.functional import Calibration
    from mmps.retrieval import Gallery

SHOWN = (0.5, 0.1, 0.01, 1e-3, 1e-4, 1e-5, 1e-6)
"""Shares of strangers of which the similarity is printed, as far as it is known."""


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    from mmengine.config import DictAction

    parser = argparse.ArgumentParser(
        description='Count how similar strangers look; searches of the gallery then say so.'
    )
    parser.add_argument('config', nargs='?', help='config whose test set is labelled')
    parser.add_argument(
        'predictions', nargs='?', help='what the model found there, of tools/test.py --out'
    )
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE',
        help='change settings of the config, e.g. test_dataloader.dataset.data_root=DIR',
    )  # fmt: skip
    parser.add_argument('--gallery', help='where to keep it, and to count without labels')
    parser.add_argument(
        '--marks', nargs='+', default=(), metavar='HITS.json',
        help='count marked hits: files that the page saved, each of a search for another person',
    )  # fmt: skip
    parser.add_argument(
        '--out', metavar='FILE.json', help='write it to this file instead, for --calibration'
    )
    arguments = parser.parse_args(argv)
    if arguments.config and not arguments.predictions:
        parser.error('CONFIG needs PREDICTIONS.npz beside it, of tools/test.py --out')
    if not arguments.gallery and (arguments.out or not arguments.config):
        parser.error('--gallery is needed: it says which model the similarities are of')
    if arguments.marks and arguments.config:
        parser.error('--marks and CONFIG PREDICTIONS.npz are two ways to calibrate; give one')
    return arguments


def calibrate(gallery: 'Gallery | None', arguments: argparse.Namespace) -> 'Calibration':
    if gallery and not arguments.config:
        return gallery.calibrate(arguments.marks)
    config = load_config(arguments.config, arguments.cfg_options)
    require_entries(config, arguments.config, ('test_dataloader', 'test_evaluator'))

    from mmps.apis.judgement import calibrate_labelled
    from mmps.evaluation.functional import load_predictions
    from mmps.utils.search_config import search_protocols, test_annotations

    try:
        score_thr = search_protocols(config, arguments.config).score_thr
        annotations = test_annotations(config)
        predictions = load_predictions(arguments.predictions, annotations)
    except ValueError as error:
        raise UserError(error) from error
    model = gallery.model if gallery else None
    return calibrate_labelled(annotations, predictions, model, score_thr)


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
        ends = f'1 in {1 / match.high:,.0f} to {1 / match.low:,.0f}'
        share = calibration.found_at(similarity)
        found = '' if share is None else f'  {share:.1%}'
        print(f'{describe_chance(match):<14}  {similarity:<10.3f}  {ends:<22}{found}'.rstrip())
    print('more similar ones are rarer than the last line says; by how much cannot be told')


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)

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
