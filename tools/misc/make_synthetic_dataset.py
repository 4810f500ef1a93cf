"""Renders a person search data set to learn and test with, in the layout of a real one."""

import argparse
import sys

import cv2

from mmps.cli.common import run_tool
from mmps.synthetic import SyntheticConfig, make_synthetic_dataset
from mmps.synthetic.writers import LAYOUTS
from mmps.utils.threads import usable_cores


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in text.lower().split('x'))
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text!r} is not WIDTHxHEIGHT, e.g. 480x270') from None
    return width, height


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    default = SyntheticConfig()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', required=True, help='folder of the data set')
    parser.add_argument('--layout', default='prw', choices=sorted(LAYOUTS))
    parser.add_argument('--images', type=int, default=default.images, help='training images')
    parser.add_argument('--identities', type=int, default=default.identities, help='in training')
    parser.add_argument('--test-images', type=int, default=default.test_images)
    parser.add_argument('--test-identities', type=int, default=default.test_identities)
    parser.add_argument('--queries', type=int, default=default.queries)
    parser.add_argument('--size', type=_size, default=(default.width, default.height))
    parser.add_argument('--seed', type=int, default=default.seed)
    parser.add_argument(
        '--backdrops',
        metavar='FOLDER',
        help='photographs without people (JPEG, PNG) to stand behind those that are drawn',
    )
    parser.add_argument(
        '--workers', type=int, default=usable_cores() or 1, help='rendering processes'
    )
    return parser.parse_args(arguments)


def main() -> None:
    """Runs the tool."""
    args = parse_args()
    # Pictures are small: OpenCV's threads cost more than they give.
    cv2.setNumThreads(0)
    try:
        config = SyntheticConfig(
            images=args.images,
            identities=args.identities,
            test_images=args.test_images,
            test_identities=args.test_identities,
            queries=args.queries,
            width=args.size[0],
            height=args.size[1],
            seed=args.seed,
        )
        root = make_synthetic_dataset(
            args.out,
            config,
            layout=args.layout,
            backdrops=args.backdrops,
            workers=args.workers,
        )
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    print(f'{root}: {config.images} training and {config.test_images} test images')


if __name__ == '__main__':
    run_tool(main, needs_mmdet=False)
