"""CVAT's export "COCO 1.0" -> COCO style with person ids.

``python tools/dataset_converters/cvat_to_coco.py EXPORT/annotations/instances_default.json`` takes
the person from an attribute of the boxes, ``person_id`` unless another is named.
"""

import argparse
from pathlib import Path

from mmps.cli.common import run_tool


def main(argv: list[str] | None = None) -> None:
    from mmps.cli.convert import add_arguments, convert
    from mmps.formats.converters.cvat import export_folder, export_images, read_cvat

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
    arguments = parser.parse_args(argv)
    exports, attribute = arguments.exports, arguments.person_attribute
    convert(
        lambda annotations: read_cvat(exports, annotations, attribute=attribute),
        arguments,
        out=export_folder(exports[0]),
        images=export_images(exports),
    )


if __name__ == '__main__':
    run_tool(main, needs_mmdet=False)
