"""Draw how much the people of some images look like each other."""

import argparse

from mmps.cli.common import run_tool
from mmps.cli.search import build_searcher, searcher_parser
from mmps.sources import as_image, printable
from mmps.utils.errors import UserError, data_errors


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = searcher_parser('Draw how much the people of some images look like each other.', argv)
    parser.add_argument(
        'images',
        nargs='+',
        metavar='IMAGE[:x1,y1,x2,y2]',
        help='everybody found in it, or whoever is in the box',
    )
    parser.add_argument('--out', required=True, metavar='FILE.png', help='where to draw it')
    parser.add_argument(
        '--max-people', type=int, default=16, help='how many to compare (default: %(default)s)'
    )
    return parser.parse_args(argv)


def split_box(text: str) -> tuple[str, list[float] | None]:
    """``IMAGE:x1,y1,x2,y2`` in its two parts; a name without a box stays whole."""
    path, colon, box = text.rpartition(':')
    try:
        numbers = [float(number) for number in box.split(',')]
    except ValueError:
        return text, None
    return (path, numbers) if colon and len(numbers) == 4 else (text, None)


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)

    import numpy as np

    from mmps.visualization import draw_similarity_matrix, write_image

    searcher = build_searcher(arguments, batch_size=1)
    people, embeddings = [], []
    with data_errors():
        for text in arguments.images:
            path, box = split_box(text)
            image = as_image(path)
            if box is None:
                found = searcher.detect(image)
                bboxes, rows = found.bboxes, found.embeddings
            else:
                bboxes, rows = np.array([box], np.float32), searcher.embed(image, [box])
            people += [(image, bbox) for bbox in bboxes]
            embeddings += list(rows)
            print(f'{printable(path)}: {len(bboxes)} people')
    if not people:
        raise UserError('nobody was found; try a lower --score-thr, or give boxes')
    shown = arguments.max_people
    sheet = draw_similarity_matrix(people[:shown], np.stack(embeddings[:shown]))
    write_image(arguments.out, sheet)
    print(f'picture: {arguments.out}')


if __name__ == '__main__':
    run_tool(main)
