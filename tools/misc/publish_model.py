"""Turn a checkpoint into a file to hand on: ``python tools/misc/publish_model.py CHECKPOINT``.

Optimizer, log and the tables of the loss go; weights and config stay; the name gets the hash.
"""

import argparse
from pathlib import Path

from mmps.cli.common import run_tool


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Turn a checkpoint into a file to hand on.')
    parser.add_argument('checkpoint', type=Path, help='what train.py has saved')
    parser.add_argument(
        '--out', type=Path, metavar='DIR', help='folder to write to (default: beside it)'
    )
    parser.add_argument('--name', help='what the file is called (default: as the config)')
    parser.add_argument(
        '--trained-weights',
        action='store_true',
        help='the weights themselves instead of their moving average, where there is one',
    )
    parser.add_argument(
        '--keep-tables',
        action='store_true',
        help='keep the table of training identities and the queue, to train on with the same data',
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)

    from mmps.utils.publish import publish

    path, meta = publish(
        arguments.checkpoint,
        arguments.out or arguments.checkpoint.parent,
        arguments.name,
        trained_weights=arguments.trained_weights,
        keep_tables=arguments.keep_tables,
    )
    megabytes = arguments.checkpoint.stat().st_size / 1e6, path.stat().st_size / 1e6
    print(f'{path}: {megabytes[1]:.1f} MB of {megabytes[0]:.1f} MB, epoch {meta["epoch"]}')
    for key, value in meta.get('metrics', {}).items():
        print(f'  {key} {value:.4f}')


if __name__ == '__main__':
    run_tool(main)
