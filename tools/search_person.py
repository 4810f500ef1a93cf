"""Find a person of one picture in a gallery."""

import argparse
from pathlib import Path

from mmps.apis import AmbiguousQueryError, SearchResult
from mmps.cli.common import run_tool
from mmps.cli.search import (
    a_box,
    a_number,
    add_calibration_argument,
    add_filter_arguments,
    build_searcher,
    searcher_parser,
    use_calibration,
    where_of,
)
from mmps.retrieval import Gallery, why_nobody
from mmps.sources import format_offset, format_time, printable, without_password
from mmps.utils.errors import UserError


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = searcher_parser('Find a person of one picture in a gallery.', argv)
    parser.add_argument('query', metavar='QUERY', help='image that the person is in')
    parser.add_argument('--gallery', required=True, help='what index_gallery.py made')
    parser.add_argument(
        '--box',
        type=a_box,
        metavar='x1,y1,x2,y2',
        help='the person, in pixels; needed unless there is just one in the image',
    )
    parser.add_argument('--top-k', type=a_number, default=20, help='how many to find (default: 20)')
    add_filter_arguments(parser)
    parser.add_argument(
        '--approximate', action='store_true', help="use the gallery's index, if it has one"
    )
    add_calibration_argument(parser)
    parser.add_argument('--out', metavar='HITS.json', help='also write what was found there')
    parser.add_argument(
        '--show-dir', metavar='DIR', help='draw a sheet and the scene of every hit into this folder'
    )
    parser.add_argument(
        '--blur-others',
        action='store_true',
        help='make everybody else unrecognisable in these pictures',
    )
    return parser.parse_args(argv)


def search(arguments: argparse.Namespace) -> SearchResult:
    # Whatever may be wrong is found before the model is loaded, which takes much longer.
    if not Path(arguments.query).is_file():
        raise UserError(f'query {without_password(arguments.query)}: there is no such file')
    gallery = Gallery.open(arguments.gallery, create=False)
    use_calibration(gallery, arguments)
    searcher = build_searcher(arguments, batch_size=1)
    try:
        return searcher.search(
            arguments.query,
            arguments.box,
            arguments.top_k,
            where_of(arguments),
            gallery=gallery,
            approximate=arguments.approximate,
        )
    except AmbiguousQueryError as error:
        message = str(error).replace('give the box', 'give --box')
        if arguments.show_dir and len(error.people):
            picture = Path(arguments.show_dir, 'query.png')
            error.people.plot(picture)
            message += f'\nThey are numbered in {picture}'
        raise UserError(message) from error
    except ValueError as error:
        raise UserError(str(error)) from error


def print_table(result: SearchResult) -> None:
    """Print a line per hit; columns of which nothing is known are left out."""
    columns = {
        'rank': [str(rank) for rank in range(1, len(result) + 1)],
        'similarity': [f'{hit.similarity:.3f}' for hit in result],
        'strangers': [result.judgement.chance(rank) for rank in range(len(result))]
        if result.judgement
        else [],
        'camera': [hit.camera or '' for hit in result],
        'time': ['' if hit.time is None else format_time(hit.time) for hit in result],
        'box': [','.join(f'{value:.0f}' for value in hit.bbox) for hit in result],
        'in video': ['' if hit.offset is None else format_offset(hit.offset) for hit in result],
        'file': [printable(hit.source) for hit in result],
    }
    shown = {name: cells for name, cells in columns.items() if any(cells)}
    widths = {name: max(map(len, [name, *cells])) for name, cells in shown.items()}
    print('  '.join(f'{name:<{widths[name]}}' for name in shown).rstrip())
    above = result.judgement.above if result.judgement else None
    for rank, row in enumerate(zip(*shown.values(), strict=True)):
        if rank == above:
            print('----- below this line: probably somebody else')
        line = '  '.join(
            f'{cell:<{width}}' for cell, width in zip(row, widths.values(), strict=True)
        )
        print(line.rstrip())


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    result = search(arguments)
    if len(result):
        print_table(result)
        if result.judgement:
            print(result.judgement.describe())
    else:
        print(why_nobody(result.gallery, where_of(arguments)))
    if arguments.out:
        result.to_json(arguments.out)
    if arguments.show_dir:
        for file in result.save(arguments.show_dir, arguments.blur_others):
            print(f'picture: {file}')


if __name__ == '__main__':
    run_tool(main)
