"""Tracks in the form of the MOT challenges -> COCO style with person ids.

``python tools/dataset_converters/mot_to_coco.py DIR/CAM1 DIR/CAM2 --shared-ids`` takes each
sequence as a camera.
"""

import argparse
from pathlib import Path

from mmps.cli.common import run_tool


def main(argv: list[str] | None = None) -> None:
    from mmps.cli.convert import add_arguments, convert
    from mmps.formats.converters.mot import read_mot

    parser = argparse.ArgumentParser(description='Convert MOT sequences to COCO style.')
    parser.add_argument(
        'sequences', type=Path, nargs='+', help='folders with gt/gt.txt, seqinfo.ini and images'
    )
    parser.add_argument(
        '--shared-ids',
        action='store_true',
        help='an id is the same person in every sequence; without this, in its own only',
    )
    parser.add_argument(
        '--classes',
        type=int,
        nargs='+',
        help='classes to take (default: the lines of gt/labels.txt that say person or pedestrian, '
        'without that file 1)',
    )
    parser.add_argument(
        '--one-based',
        action='store_true',
        help='the leftmost and the uppermost pixel are number 1, as in the files of the challenges',
    )
    parser.add_argument(
        '--first-frame',
        type=int,
        metavar='N',
        help='which frame of gt.txt the first picture is (default: what its name says)',
    )
    parser.add_argument('--every', type=int, default=1, help='take every so many-th frame')
    parser.add_argument('--test', type=Path, nargs='+', default=[], help='sequences to test with')
    add_arguments(parser, named=False)
    arguments = parser.parse_args(argv)
    folder = arguments.sequences[0].parent
    convert(
        lambda annotations: read_mot(
            arguments.sequences,
            annotations,
            shared_ids=arguments.shared_ids,
            classes=arguments.classes,
            first_pixel=1 if arguments.one_based else 0,
            first_frame=arguments.first_frame,
            every=arguments.every,
            test=arguments.test,
        ),
        arguments,
        out=folder,
        images=folder,
    )


if __name__ == '__main__':
    run_tool(main, needs_mmdet=False)
