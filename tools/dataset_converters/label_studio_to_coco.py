"""Label Studio's own JSON export -> COCO style with person ids.

``python tools/dataset_converters/label_studio_to_coco.py EXPORT.json --person-from CONTROL
--images DIR``; CONTROL is the ``name`` of the tag that says who it is.
"""

import argparse
from pathlib import Path

from mmps.cli.common import run_tool


def main(argv: list[str] | None = None) -> None:
    from mmps.cli.convert import add_arguments, convert
    from mmps.formats.converters.label_studio import read_label_studio

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
    folder = arguments.export.parent
    convert(
        lambda annotations: read_label_studio(
            arguments.export, annotations, arguments.person_from, image_key=arguments.image_key
        ),
        arguments,
        out=folder,
        images=folder / 'images',
    )


if __name__ == '__main__':
    run_tool(main, needs_mmdet=False)
