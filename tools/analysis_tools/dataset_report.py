"""What a data set holds, and every problem found in it.

``python tools/analysis_tools/dataset_report.py CONFIG`` reads the annotations that a config trains
and tests on and writes a table, ``report.json`` and ``report.png``.
"""

import argparse
import sys
from pathlib import Path

from mmps.cli.common import config_parser, run_tool
from mmps.utils.config import load_config
from mmps.utils.errors import data_errors


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = config_parser('Report what a data set holds and every problem found in it.')
    parser.add_argument('--split', choices=('train', 'test', 'both'), default='both')
    parser.add_argument(
        '--out',
        metavar='DIR',
        help='where report.json and report.png go (default: work_dirs/NAME_OF_THE_CONFIG/dataset)',
    )
    parser.add_argument(
        '--check-images',
        action=argparse.BooleanOptionalAction,
        default=True,
        help='open every image for its size, by which truncated files, boxes outside and people of '
        'sizes that the network cannot learn are found (default: yes)',
    )
    parser.add_argument('--decode', action='store_true', help='decode every image as well')
    parser.add_argument(
        '--strict', action='store_true', help='exit status 1 if a problem is an error'
    )
    arguments = parser.parse_args(argv)
    if arguments.decode and not arguments.check_images:
        parser.error('--decode is a part of --check-images; leave --no-check-images out')
    return arguments


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    config = load_config(arguments.config, arguments.cfg_options)

    from mmps.cli.convert import datasets_of
    from mmps.formats import image_folder, scene_files
    from mmps.formats.from_config import anchors_of
    from mmps.formats.report import report_dataset, report_table
    from mmps.utils.files import write_json
    from mmps.visualization.dataset_report import save_dataset_report

    splits = ('train', 'test') if arguments.split == 'both' else (arguments.split,)
    datasets = datasets_of(config, arguments.config, splits)
    roots = dict.fromkeys(str(dataset.data_root) for dataset in datasets.values())
    kinds = dict.fromkeys(dataset.type for dataset in datasets.values())
    with data_errors():
        report = report_dataset(
            {name: scene_files(dataset) for name, dataset in datasets.items()},
            {name: image_folder(dataset) for name, dataset in datasets.items()},
            title=f'{", ".join(kinds)} in {", ".join(roots)}',
            open_images=arguments.check_images,
            decode_images=arguments.decode,
            anchors=anchors_of(config),
        )
    print(report_table(report))
    folder = Path(arguments.out or f'work_dirs/{Path(arguments.config).stem}/dataset')
    write_json(folder / 'report.json', report.to_json())
    save_dataset_report(folder / 'report.png', report)
    print(f'\neverything: {folder / "report.json"}\npicture: {folder / "report.png"}')
    if arguments.strict and report.has_errors:
        sys.exit(1)


if __name__ == '__main__':
    run_tool(main, needs_mmdet=False)
