"""Turn a file that a method's authors published into a checkpoint of mmps.

``python tools/model_converters/convert_published.py FILE --out CHECKPOINT`` recognises the method
by the names of the weights. Nothing in the file is run.
"""

import argparse

from mmps.cli.common import run_tool


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Turn a file that a method's authors published into a checkpoint of mmps."
    )
    parser.add_argument('file', help='what the authors published')
    parser.add_argument('--out', required=True, metavar='CHECKPOINT', help='file to write')
    parser.add_argument(
        '--dataset',
        choices=('prw', 'cuhk-sysu'),
        help='what it was trained on (default: the number of identities says)',
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    from mmps.published.conversion import convert_file

    name, tensors = convert_file(arguments.file, arguments.out, arguments.dataset)
    print(f'{arguments.out}: {name}, {tensors} tensors')


if __name__ == '__main__':
    run_tool(main)
