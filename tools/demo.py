"""Search a gallery for a person on a web page."""

import argparse
import os

from mmps.cli.common import run_tool
from mmps.cli.search import (
    add_calibration_argument,
    build_searcher,
    searcher_parser,
    use_calibration,
)
from mmps.retrieval import Gallery
from mmps.utils.errors import UserError


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = searcher_parser('Search a gallery for a person on a web page.', argv)
    parser.add_argument('--gallery', required=True, help='what index_gallery.py made')
    parser.add_argument(
        '--host',
        default='127.0.0.1',
        help='address to listen on (default: %(default)s, which only this machine reaches)',
    )
    parser.add_argument(
        '--port', type=int, default=7860, help='0: any that is free (default: %(default)s)'
    )
    parser.add_argument('--open', action='store_true', help='show it in the browser')
    parser.add_argument(
        '--public-url',
        metavar='URL',
        help='where browsers find it behind a proxy, http(s)://HOST or with a /PREFIX',
    )
    parser.add_argument(
        '--max-megabytes',
        type=float,
        default=20,
        help='largest file that may be sent (default: %(default)s)',
    )
    parser.add_argument(
        '--max-megapixels',
        type=float,
        default=50,
        help='largest picture that may be sent (default: %(default)s)',
    )
    parser.add_argument(
        '--recurring',
        action='store_true',
        help='let users see who appears often, whoever they are; see docs/privacy.md',
    )
    add_calibration_argument(parser)
    arguments = parser.parse_args(argv)
    if arguments.max_megabytes <= 0 or arguments.max_megapixels <= 0:
        parser.error('--max-megabytes and --max-megapixels must be positive')
    return arguments


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'  # read when Gradio is imported
    try:
        from mmps.web import SearchService
        from mmps.web.app import serve
    except ImportError as error:
        raise UserError(f"the page needs Gradio ({error}): pip install 'mmps[demo]'") from error
    searcher = build_searcher(arguments, batch_size=1)
    gallery = Gallery.open(arguments.gallery, searcher.tag, create=False)
    use_calibration(gallery, arguments)
    max_pixels = int(arguments.max_megapixels * 1e6)
    service = SearchService(searcher, gallery, max_pixels, recurring=arguments.recurring)
    max_bytes = int(arguments.max_megabytes * 2**20)
    options = dict(public_url=arguments.public_url, show=arguments.open)
    serve(service, arguments.host, arguments.port, max_bytes, **options)


if __name__ == '__main__':
    run_tool(main)
