"""CVAT's export "COCO 1.0" -> COCO style with person ids.

``python tools/dataset_converters/cvat_to_coco.py EXPORT/annotations/instances_default.json`` takes
the person from an attribute of the boxes, ``person_id`` unless another is named.
"""

import argparse
from pathlib import Path

from mmps.cli.common import run_tool


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    from mmps.cli.convert import add_arguments

    parser = argparse.ArgumentParser(description='Convert exports of CVAT to COCO style.')
    parser.add_argument('exports', type=Path, nargs='+', help='instances_*.json')
    parser.add_argument(
        '--person-attribute',
        default='person_id',
        metavar='NAME',
        help='attribute that holds the person (default: person_id); CVAT counts track_id per task, '
        'so that it is an identity within one camera only',
    )
    add_arguments(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    from mmps.cli.convert import convert
    from mmps.formats.converters.cvat import export_folder, export_images, read_cvat

    arguments = parse_arguments(argv)
    arguments.out = arguments.out or export_folder(arguments.exports[0])
    arguments.images = arguments.images or export_images(arguments.exports)
    convert(
        lambda tally: read_cvat(
            arguments.exports,
            arguments.images,
            tally=tally,
            attribute=arguments.person_attribute,
            unlabelled=arguments.unlabelled,
            camera_pattern=arguments.camera_pattern,
        ),
        arguments,
    )


if __name__ == '__main__':
    run_tool(main, needs_mmdet=False)
