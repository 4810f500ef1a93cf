"""Draw what a model's attention lets through of people."""

import argparse

from mmps.apis.network import default_backend
from mmps.cli.common import run_tool
from mmps.cli.search import build_searcher, searcher_parser
from mmps.sources import as_image, printable
from mmps.utils.errors import UserError, data_errors


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = searcher_parser("Draw what a model's attention lets through of people.", argv)
    parser.add_argument('images', nargs='+', metavar='IMAGE', help='the people found are drawn')
    parser.add_argument('--out', required=True, metavar='FILE.png', help='where to draw them')
    parser.add_argument(
        '--max-people', type=int, default=24, help='how many to draw (default: %(default)s)'
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    if (arguments.backend or default_backend(arguments.checkpoint)) != 'torch':
        raise UserError('--backend: attention is only looked at in torch, give the checkpoint')

    import numpy as np

    from mmps.apis.attention import attention_masks
    from mmps.visualization import draw_attention, write_image

    searcher = build_searcher(arguments, batch_size=1)
    people, masks = [], []
    with data_errors():
        for path in arguments.images:
            image = as_image(path)
            found = searcher.detect(image)
            if len(found):
                masks += list(attention_masks(searcher.network, image, found.bboxes))
            people += [(image, bbox) for bbox in found.bboxes]
            print(f'{printable(path)}: {len(found)} people')
    if not people:
        raise UserError('nobody was found; try a lower --score-thr')
    shown = arguments.max_people
    title = f'Attention of {searcher.tag.name}'
    write_image(arguments.out, draw_attention(people[:shown], np.stack(masks[:shown]), title))
    print(f'picture: {arguments.out}')


if __name__ == '__main__':
    run_tool(main)
