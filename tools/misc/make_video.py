"""Make a video of scene images, in the order of their names, e.g. to try a search on."""

import argparse
from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from mmps.cli.common import run_tool
from mmps.sources import Problem, Reading, count_frames, find_files, read_sources
from mmps.utils.errors import UserError
from mmps.visualization import write_video


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('sources', nargs='+', metavar='SOURCE', help='images and folders of images')
    parser.add_argument('--out', required=True, metavar='V.mp4', help='.mp4, .webm or .avi')
    parser.add_argument('--fps', type=float, default=25.0, help='frames per second (default: 25)')
    parser.add_argument(
        '--hold', type=int, default=1, metavar='N', help='frames that each image lasts (default: 1)'
    )
    arguments = parser.parse_args(argv)
    if arguments.fps <= 0 or arguments.hold < 1:
        parser.error('--fps and --hold must be positive')
    return arguments


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    problems: list[Problem] = []

    def images() -> Iterator[np.ndarray]:
        files = find_files(arguments.sources, problems.append)
        coming = read_sources(files, on_problem=problems.append)
        for frame in tqdm(coming, total=count_frames(files, Reading()) or None, unit='img'):
            yield from [frame.image] * arguments.hold

    try:
        count = write_video(arguments.out, images(), arguments.fps)
    except ValueError as error:
        raise UserError('\n'.join(map(str, [error, *problems]))) from error
    for problem in problems:
        print(f'left out: {problem}')
    print(f'{arguments.out}: {count} frames, {count / arguments.fps:.1f} s')


if __name__ == '__main__':
    run_tool(main, needs_mmdet=False)
