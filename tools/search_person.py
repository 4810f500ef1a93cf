"""Find a person of one picture in a gallery."""

import argparse
from pathlib import Path

from mmps.apis import AmbiguousQueryError, SearchResult
from mmps.cli.common import run_tool
from mmps.cli.main import call_of
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
from mmps.retrieval import Appearance, Gallery, why_nobody
from mmps.sources import format_offset, format_time, printable, without_password
from mmps.utils.errors import UserError


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = searcher_parser('Find a person of one picture in a gallery.', argv)
    parser.add_argument(
        'query',
        nargs='+',
        metavar='QUERY',
        help='image that the person is in; several of one person find them better; '
        'IMAGE@x1,y1,x2,y2 says where, IMAGE@whole that it is a person cut out',
    )
    parser.add_argument('--gallery', required=True, help='what index_gallery.py made')
    parser.add_argument(
        '--box',
        type=a_box,
        metavar='x1,y1,x2,y2',
        help='the person, in pixels; needed unless there is just one in the image; whole: it is a '
        'person cut out',
    )
    parser.add_argument(
        '--not',
        dest='wrong',
        nargs='+',
        default=[],
        metavar='IMAGE',
        help='images of somebody else, who looks alike; IMAGE@x1,y1,x2,y2 says where',
    )
    parser.add_argument(
        '--min-similarity', type=float, metavar='S', help='leave out who looks less similar'
    )
    parser.add_argument(
        '--other-scenes', action='store_true', help='leave out the scene that QUERY is'
    )
    parser.add_argument(
        '--top-k', type=a_number, default=20, help='how many appearances to find (default: 20)'
    )
    parser.add_argument(
        '--per-frame',
        action='store_true',
        help='find people in single frames, however often somebody is in view for a while',
    )
    parser.add_argument(
        '--no-scenes',
        action='store_true',
        help='similarities of people alone, where the model (GFN) would weigh scenes too',
    )
    add_filter_arguments(parser)
    parser.add_argument(
        '--approximate', action='store_true', help="use the gallery's index, if it has one"
    )
    add_calibration_argument(parser)
    parser.add_argument(
        '--out', metavar='HITS.json', help='also write what was found there; HITS.csv: as a table'
    )
    parser.add_argument(
        '--show-dir', metavar='DIR', help='draw a sheet and the scene of every hit into this folder'
    )
    parser.add_argument(
        '--blur-others',
        action='store_true',
        help='make everybody else unrecognisable in these pictures',
    )
    return parser.parse_args(argv)


def an_image(word: str) -> tuple[str, tuple[float, ...] | str | None]:
    """A file, and where the person is in it if the word says so."""
    if Path(word).is_file():
        return word, None
    file, at, box = word.rpartition('@')
    if not (at and Path(file).is_file()):
        raise UserError(f'query {without_password(word)}: there is no such file')
    try:
        return file, a_box(box)
    except argparse.ArgumentTypeError as error:
        raise UserError(f'query {word}: {error}') from error


def search(arguments: argparse.Namespace) -> SearchResult:
    # Whatever may be wrong is found before the model is loaded, which takes much longer.
    pictures = [an_image(word) for word in arguments.query]
    wrong = [an_image(word) for word in arguments.wrong]
    if arguments.box is not None:
        if len(pictures) > 1 or pictures[0][1] is not None:
            raise UserError('--box is of one QUERY; write IMAGE@x1,y1,x2,y2 for each of several')
        pictures = [(pictures[0][0], arguments.box)]
    gallery = Gallery.open(arguments.gallery, create=False)
    use_calibration(gallery, arguments)
    searcher = build_searcher(arguments, batch_size=1)
    try:
        return searcher.search(
            [searcher.query(*picture) for picture in pictures],
            None,
            arguments.top_k,
            where_of(arguments),
            gallery=gallery,
            approximate=arguments.approximate,
            wrong=[searcher.query(*picture) for picture in wrong],
            min_similarity=arguments.min_similarity,
            other_scenes=arguments.other_scenes,
            per_frame=arguments.per_frame,
            scene_weighting=not arguments.no_scenes,
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
        'in view': [_in_view(one) for one in result.appearances],
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


def _in_view(appearance: Appearance) -> str:
    """From when to when, in a video or by the clock; nothing for one frame."""
    if appearance.frames == 1:
        return ''
    span, write = (appearance.start, appearance.end), format_offset
    if None in span:
        span, write = (appearance.first, appearance.last), format_time
    return f'{write(span[0])} - {write(span[1])} ({appearance.frames})'


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    result = search(arguments)
    if arguments.approximate and result.approximate:
        print("approximate: by the gallery's index, which may miss somebody")
    elif arguments.approximate and result.gallery.has_index:
        print('exact: scenes weigh the similarities; with --no-scenes the index is used')
    elif arguments.approximate:
        call = f'{call_of("manage_gallery.py")} {printable(arguments.gallery)} index'
        print(f'exact: the gallery has no index, which `{call}` makes')
    if len(result):
        print_table(result)
        if result.judgement:
            print(result.judgement.describe())
    elif arguments.min_similarity is not None:
        print(f'nobody looks as similar as {arguments.min_similarity:g}, or passes the filter')
    else:
        print(why_nobody(result.gallery, where_of(arguments)))
    if arguments.out:
        csv = arguments.out.lower().endswith('.csv')
        (result.to_csv if csv else result.to_json)(arguments.out)
    if arguments.show_dir:
        for file in result.save(arguments.show_dir, arguments.blur_others):
            print(f'picture: {file}')


if __name__ == '__main__':
    run_tool(main)
