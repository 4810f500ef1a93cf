"""The data set of a config, e.g. one in COCO style, -> a folder in PRW's layout.

``python tools/dataset_converters/dataset_to_prw.py CONFIG --out DIR`` is for programs that read
nothing else. Boxes are cut to whole pixels when PRW's files are read.
"""

import argparse
from pathlib import Path

from mmps.cli.common import config_parser, run_tool
from mmps.utils.config import load_config
from mmps.utils.errors import data_errors


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = config_parser("Write the data set of a config in PRW's layout.")
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='folder to make')
    parser.add_argument(
        '--unknown-camera', type=int, metavar='N', help='camera of images whose camera is unknown'
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    config = load_config(arguments.config, arguments.cfg_options)

    from mmps.cli.convert import files_of, print_tally, summary
    from mmps.formats.converters.annotated_images import Tally
    from mmps.formats.converters.official import write_prw_layout

    tally = Tally()
    with data_errors():
        files = files_of(config, arguments.config)
        splits = write_prw_layout(
            arguments.out, files, tally=tally, unknown_camera=arguments.unknown_camera
        )
    for split, index in splits.items():
        print(f'{split}: {summary(index)} -> {arguments.out}')
    print_tally(tally)


if __name__ == '__main__':
    run_tool(main, needs_mmdet=False)
