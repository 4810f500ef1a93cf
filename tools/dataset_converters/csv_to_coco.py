"""A folder of cameras and a table of boxes -> COCO style, ready to train on.

``python tools/dataset_converters/csv_to_coco.py data/my_cameras/boxes.csv`` reads the columns
image, x1, y1, x2, y2, person_id and, if there, camera, is_query and split; see docs/own_data.md.
"""

import argparse
from pathlib import Path

from mmps.cli.common import run_tool


def main(argv: list[str] | None = None) -> None:
    from mmps.cli.convert import add_arguments, convert
    from mmps.formats.converters.csv_boxes import read_csv_boxes

    parser = argparse.ArgumentParser(description='Convert a table of boxes to COCO style.')
    parser.add_argument('table', type=Path, help='the CSV file')
    add_arguments(parser)
    arguments = parser.parse_args(argv)
    folder = arguments.table.parent
    convert(
        lambda annotations: read_csv_boxes(arguments.table, annotations),
        arguments,
        out=folder,
        images=folder / 'images',
    )


if __name__ == '__main__':
    run_tool(main, needs_mmdet=False)
