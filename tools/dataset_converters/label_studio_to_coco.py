"""Label Studio's own JSON export -> COCO style with person ids.

``python tools/dataset_converters/label_studio_to_coco.py EXPORT.json --person-from CONTROL
--images DIR``; CONTROL is the ``name`` of the tag that says who it is.
"""

import argparse
from pathlib import Path

from mmps.cli.common import run_tool


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    from mmps.cli.convert import add_arguments

    parser = argparse.ArgumentParser(description='Convert an export of Label Studio to COCO style.')
    parser.add_argument('export', type=Path, help='the file, exported as "JSON"')
    parser.add_argument(
        '--person-from',
        required=True,
        metavar='CONTROL',
        help='name of the RectangleLabels, TextArea, Choices or Number tag that holds the person',
    )
    parser.add_argument(
        '--image-key', default='image', help='key of the image in the data of a task'
    )
    add_arguments(parser)
    arguments = parser.parse_args(argv)
    arguments.out = arguments.out or arguments.export.parent
    arguments.images = arguments.images or arguments.export.parent / 'images'
    return arguments


def main(argv: list[str] | None = None) -> None:
    from mmps.cli.convert import convert
    from mmps.formats.converters.label_studio import read_label_studio

    arguments = parse_arguments(argv)
    convert(
        lambda tally: read_label_studio(
            arguments.export,
            arguments.images,
            arguments.person_from,
            tally=tally,
            image_key=arguments.image_key,
            unlabelled=arguments.unlabelled,
            camera_pattern=arguments.camera_pattern,
        ),
        arguments,
    )


if __name__ == '__main__':
    run_tool(main, needs_mmdet=False)
