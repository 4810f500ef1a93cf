"""Print a config with its bases merged: ``python tools/misc/print_config.py CONFIG``."""

from mmps.cli.common import config_parser, run_tool
from mmps.utils.config import load_config


def main(argv: list[str] | None = None) -> None:
    arguments = config_parser('Print a config with its bases and options merged.').parse_args(argv)
    print(load_config(arguments.config, arguments.cfg_options).pretty_text)


if __name__ == '__main__':
    run_tool(main)
