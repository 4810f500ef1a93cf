"""Measure speed and memory: ``benchmark.py SUBCOMMAND``; ``--help`` lists them, and each has it."""

import argparse
import importlib
import shlex
import sys

from mmps.benchmark.measurement import print_measurements, write_measurements
from mmps.cli.common import run_tool

#: Subcommands and what measures them, below ``mmps.benchmark``.
SUBCOMMANDS = {
    'cutouts': 'cutouts.run',
    'data': 'data.run',
    'eval': 'evaluation.run',
    'gallery': 'gallery.run',
    'index': 'indexing.run',
    'infer': 'networks.infer',
    'layers': 'layers.run',
    'page': 'page.run',
    'peer': 'peer.run',
    'runtimes': 'networks.runtimes',
    'train': 'training.train',
    'sweep': 'training.sweep',
    'video': 'videos.run',
}


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Measure the speed of a part of mmps.')
    subparsers = parser.add_subparsers(dest='subcommand', required=True)
    for name, location in SUBCOMMANDS.items():
        module_name, _, function = location.partition('.')
        module = importlib.import_module(f'mmps.benchmark.{module_name}')
        run = getattr(module, function)
        help_line = ((module if function == 'run' else run).__doc__ or '').partition('\n')[0]
        subparser = subparsers.add_parser(name, help=help_line, description=help_line)
        options = 'add_arguments' if function == 'run' else f'add_{function}_arguments'
        getattr(module, options)(subparser)
        subparser.add_argument('--out', metavar='RESULT.json', help='also write the numbers there')
        subparser.set_defaults(run=run)
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
