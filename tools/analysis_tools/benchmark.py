"""Measure speed and memory: ``benchmark.py SUBCOMMAND``; ``--help`` lists them, and each has it."""

import argparse
import importlib
import shlex
import sys

from mmps.benchmark.measurement import print_measurements, write_measurements
from mmps.cli.common import run_tool

#: Subcommands and the modules that measure. Only the one that was asked for runs.
SUBCOMMANDS = {
    'data': 'mmps.benchmark.data',
    'eval': 'mmps.benchmark.evaluation',
    'gallery': 'mmps.benchmark.gallery',
    'index': 'mmps.benchmark.indexing',
    'infer': 'mmps.benchmark.inference',
    'page': 'mmps.benchmark.page',
    'runtimes': 'mmps.benchmark.runtimes',
    'train': 'mmps.benchmark.training',
    'sweep': 'mmps.benchmark.training_sweep',
    'video': 'mmps.benchmark.videos',
}


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Measure the speed of a part of mmps.')
    subparsers = parser.add_subparsers(dest='subcommand', required=True)
    for name, location in SUBCOMMANDS.items():
        module = importlib.import_module(location)
        help_line = module.__doc__.partition('\n')[0]
        subparser = subparsers.add_parser(name, help=help_line, description=help_line)
        module.add_arguments(subparser)
        subparser.add_argument('--out', metavar='RESULT.json', help='also write the numbers there')
        subparser.set_defaults(run=module.run)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    measurements = arguments.run(arguments)
    print_measurements(measurements)
    if arguments.out:
        command = ['tools/analysis_tools/benchmark.py', *(sys.argv[1:] if argv is None else argv)]
        write_measurements(arguments.out, shlex.join(command), measurements)


if __name__ == '__main__':
    run_tool(main, needs_mmdet=False)
