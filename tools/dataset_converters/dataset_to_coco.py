"""The data set of a config, in its authors' files, -> COCO style.

``python tools/dataset_converters/dataset_to_coco.py configs/ps_densenet121_att_prw.py`` writes
``train.json`` and ``test.json`` into the folder of the data set. Queries and galleries are kept.
"""

import argparse
from pathlib import Path

from mmps.cli.common import config_parser, run_tool
from mmps.utils.config import load_config
from mmps.utils.errors import UserError, data_errors


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = config_parser('Convert the data set of a config to COCO style.')
    parser.add_argument(
        '--out', type=Path, metavar='DIR', help='where to write (default: the data_root)'
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    config = load_config(arguments.config, arguments.cfg_options)

    from mmps.cli.convert import dataset_config, files_of, print_tally, summary
    from mmps.formats.converters.annotated_images import Tally
    from mmps.formats.converters.official import convert_split

    tally = Tally()
    with data_errors():
        for files in files_of(config, arguments.config).values():
            out = arguments.out or files.root
            path = out / f'{files.split}.json'
            if path in files.sources():
                raise UserError(f'{path} is what would be read; give another folder with --out')
            print(f'{files.split}: {summary(convert_split(files, path, tally))} -> {path}')
    print_tally(tally)
    print(f'the data set is\n{dataset_config(out, files.image_root)}')


if __name__ == '__main__':
    run_tool(main, needs_mmdet=False)
