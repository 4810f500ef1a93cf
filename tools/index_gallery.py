"""Find the people in images and videos, and add them to a gallery to search in."""

import argparse
import signal
import sys
import threading

from mmps.cli.common import run_tool, shard_of
from mmps.cli.search import (
    a_pattern,
    a_time,
    an_entry,
    build_searcher,
    searcher_parser,
)
from mmps.sources import MAX_PIXELS, is_live
from mmps.utils.errors import data_errors


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = searcher_parser(
        'Find the people in images and videos, and add them to a gallery to search in. What is '
        'there already is passed over: the same command goes on where it was interrupted.',
        argv,
    )
    parser.add_argument(
        'sources',
        nargs='+',
        metavar='SOURCE',
        help='images, folders and videos; streams (rtsp://, http://, https://) and cameras '
        '(/dev/video0), which are indexed until a signal comes',
    )
    parser.add_argument(
        '--gallery', required=True, help='DIR/NAME.lance, or milvus://HOST:PORT/COLLECTION'
    )
    parser.add_argument('--fps', type=float, help='frames per second of videos (default: all)')
    parser.add_argument('--camera', help='which camera took everything')
    parser.add_argument(
        '--name-pattern',
        type=a_pattern,
        metavar='REGEX',
        help='what paths tell, in named groups: camera; year, month, day, hour, minute, second or '
        "epoch; others become metadata. E.g. 'c(?P<camera>\\d+)s'",
    )
    parser.add_argument(
        '--start-time', type=a_time, metavar='TIME', help='when the videos began (ISO 8601)'
    )
    parser.add_argument(
        '--file-times',
        action='store_true',
        help='trust the times of files where nothing better is known',
    )
    parser.add_argument(
        '--metadata', nargs='+', type=an_entry, metavar='KEY=VALUE', help='to attach to everything'
    )
    parser.add_argument('--batch-size', type=int, help='images per pass (default: as in testing)')
    parser.add_argument(
        '--max-pixels',
        type=int,
        default=MAX_PIXELS,
        help='leave out what is larger (default: %(default)s)',
    )
    parser.add_argument(
        '--watch',
        nargs='?',
        const=5.0,
        type=float,
        metavar='SECONDS',
        help='look for new files that have stopped growing every so many seconds (default: 5), '
        'until a signal comes',
    )
    parser.add_argument(
        '--launcher',
        choices=('none', 'pytorch', 'slurm'),
        default='none',
        help='how the processes were started that share the work',
    )
    return parser.parse_args(argv)


def set_by_signals() -> threading.Event:
    """An event that the first SIGINT or SIGTERM sets; the second one acts as usual."""
    stop = threading.Event()
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def end(number: int, frame: object) -> None:
        for one, handler in usual.items():
            signal.signal(one, handler)
        stop.set()

    for number in usual:
        signal.signal(number, end)
    return stop


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    rank, ranks = shard_of(arguments.launcher)
    endless = arguments.watch is not None or any(map(is_live, arguments.sources))
    stop = set_by_signals() if endless else None
    names = ('fps', 'camera', 'name_pattern', 'start_time', 'file_times', 'max_pixels', 'watch')
    try:
        with data_errors():
            report = build_searcher(arguments, arguments.batch_size).index(
                arguments.sources,
                arguments.gallery,
                **{name: getattr(arguments, name) for name in names},
                metadata=dict(arguments.metadata or ()),
                shard=(rank, ranks),
                progress=rank == 0,
                stop=stop,
            )
    except KeyboardInterrupt:
        print('\ninterrupted; the same command goes on from here', file=sys.stderr)
        sys.exit(130)
    print(report if ranks == 1 else f'rank {rank}: {report}')
    if report.failed:
        sys.exit(1)


if __name__ == '__main__':
    run_tool(main)
