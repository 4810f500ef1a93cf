"""What a gallery holds, and how to delete from it: ``manage_gallery.py GALLERY COMMAND``."""

import argparse
import sys
import time
from dataclasses import asdict

from mmps.cli.common import run_tool
from mmps.cli.search import add_filter_arguments, where_of
from mmps.sources import format_time
from mmps.sources.provenance import EARLIEST, LATEST
from mmps.utils.errors import UserError


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Show a gallery, or delete from it.')
    parser.add_argument('gallery', help='address: DIR/people.lance, milvus://HOST:PORT/COLLECTION')
    commands = parser.add_subparsers(dest='command', required=True)
    info = commands.add_parser('info', help='show what is there')
    info.add_argument('--out', metavar='INFO.json', help='also write it to this file')
    delete = commands.add_parser('delete', help='delete people: all that the options say together')
    add_filter_arguments(delete)
    delete.add_argument(
        '--id', nargs='+', type=int, metavar='ID', help='these people, by the id of a hit'
    )
    expire = commands.add_parser('expire', help='delete what is older than an age')
    expire.add_argument('--days', type=float, required=True, help='the age')
    commands.add_parser('compact', help='erase for good what was deleted')
    group = commands.add_parser(
        'group', help='join people of consecutive frames, as indexing does now; no pictures needed'
    )
    group.add_argument(
        '--again', action='store_true', help='also those that have been joined before'
    )
    people = commands.add_parser('people', help='who appears often, whoever that is')
    people.add_argument(
        '--min-appearances', type=int, default=3, metavar='N', help='default: %(default)s'
    )
    add_filter_arguments(people)
    people.add_argument(
        '--out', metavar='PEOPLE.json', help='also write them there; otherwise nothing is kept'
    )
    index = commands.add_parser('index', help='prepare approximate searches')
    index.add_argument(
        '--above', type=int, default=1_000_000, metavar='PEOPLE',
        help='only if there are more people (default: %(default)s)',
    )  # fmt: skip
    commands.add_parser('drop', help='erase the whole gallery')
    for command in (delete, expire, commands.choices['drop']):
        command.add_argument('--yes', action='store_true', help='do not ask')
    return parser.parse_args(argv)


def confirm(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise UserError(f'{question} Nothing was done: confirm with --yes')
    if input(f'{question} [y/N] ').strip().lower() not in ('y', 'yes'):
        raise UserError('nothing was done')


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)

    from mmps.retrieval import Gallery

    gallery = Gallery.open(arguments.gallery, create=False)
    COMMANDS[arguments.command](gallery, arguments)


def show(gallery, arguments: argparse.Namespace) -> None:
    from mmps.utils.files import write_json

    info = gallery.info()
    span = '-'
    if info.first is not None:
        span = f'{format_time(info.first)} to {format_time(info.last)}'
    shown = f'{info.people:,} sightings in {info.frames:,} frames'
    print(f'people   {shown}, {info.appearances:,} appearances')
    print(f'sources  {info.sources}')
    print(f'cameras  {", ".join(info.cameras) or "-"}')
    print(f'times    {span}')
    if info.first is not None and (info.first < EARLIEST or info.last > LATEST):
        print(
            '         No calendar has some of them. Find the people with --since 9999-12-30 (or '
            '--until 0001-01-03), and delete or correct them: docs/gallery.md, Filters'
        )
    print(f'size     {"-" if info.bytes is None else f"{info.bytes / 2**20:.1f} MiB"}')
    print(f'model    {info.model.name} ({info.model.embed_dim}-d, {info.model.fingerprint[:12]})')
    if arguments.out:
        write_json(arguments.out, asdict(info))


def delete(gallery, arguments: argparse.Namespace) -> None:
    from mmps.retrieval import Where

    where = where_of(arguments)
    if where == Where() and arguments.id is None:
        raise UserError(
            'delete: say what, by --id, --source, --camera, --since, --until, --where, --upper or '
            '--lower'
        )
    if arguments.id and where != Where():
        raise UserError('delete: --id stands alone')
    chosen = arguments.id or where
    try:
        count = len(gallery.hits_of(chosen)) if arguments.id else gallery.count(chosen)
        if not count:
            print(f'nobody in {arguments.gallery} is meant: nothing was deleted')
            return
        question = f'Delete {count} of the {len(gallery)} sightings of {arguments.gallery}?'
        confirm(question, arguments.yes)
        _deleted(gallery, gallery.delete(chosen))
    except KeyError as error:
        raise UserError(f'{arguments.gallery}: {error.args[0]}') from error


def expire(gallery, arguments: argparse.Namespace) -> None:
    from mmps.retrieval import Where

    limit = time.time() - arguments.days * 86_400
    count = gallery.count(Where(until=limit))
    question = f'Delete {count} of {len(gallery)} sightings, older than {arguments.days:g} days?'
    confirm(question, arguments.yes)
    _deleted(gallery, gallery.expire(limit))


def compact(gallery, arguments: argparse.Namespace) -> None:
    left = gallery.compact()
    print(f'compacted: {left or "what was deleted is gone from the files"}')


def group(gallery, arguments: argparse.Namespace) -> None:
    changed = gallery.group(again=arguments.again)
    info = gallery.info()
    print(f'{changed} people joined anew; {info.people} people in {info.appearances} appearances')


def people(gallery, arguments: argparse.Namespace) -> None:
    from mmps.utils.files import write_json

    try:
        groups = gallery.recurring(arguments.min_appearances, where_of(arguments))
    except ValueError as error:
        raise UserError(f'--min-appearances: {error}') from error
    for group in groups:
        cameras = sorted({one.camera for one in group.appearances if one.camera is not None})
        times = [one.first for one in group.appearances if one.first is not None]
        span = f', {format_time(times[0])[:19]} to {format_time(times[-1])[:19]}' if times else ''
        print(
            f'person {group.number}: {len(group.appearances)} appearances, alike by '
            f'{group.likeness:.2f}, cameras {", ".join(cameras) or "-"}{span}; typical: id '
            f'{group.typical.hit.id} in {group.typical.source}'
        )
    print(f'{len(groups)} people with {arguments.min_appearances} appearances or more')
    if arguments.out:
        write_json(arguments.out, [_as_json(group) for group in groups])


def _as_json(group) -> dict[str, object]:
    names = ('source', 'camera', 'first', 'last', 'start', 'end', 'frames')
    ones = [
        dict(id=str(one.id), **{name: getattr(one, name) for name in names})
        for one in group.appearances
    ]
    return dict(number=group.number, likeness=group.likeness, appearances=ones)


def index(gallery, arguments: argparse.Namespace) -> None:
    print('building ...', file=sys.stderr)
    if not gallery.build_index(arguments.above):
        print(f'{len(gallery)} people: searched exactly up to {arguments.above}')
        return
    recall = gallery.recall()
    print(f'approximate searches find {recall:.1%} of the 20 that exact ones find')


def drop(gallery, arguments: argparse.Namespace) -> None:
    confirm(f'Erase {arguments.gallery} with its {len(gallery)} sightings?', arguments.yes)
    gallery.drop()
    print('erased')


def _deleted(gallery, count: int) -> None:
    print(f'{count} sightings deleted, {len(gallery)} left; `compact` erases them from the files')


COMMANDS = {
    'info': show,
    'delete': delete,
    'expire': expire,
    'compact': compact,
    'group': group,
    'people': people,
    'index': index,
    'drop': drop,
}

if __name__ == '__main__':
    run_tool(main, needs_mmdet=False)
