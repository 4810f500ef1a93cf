"""Draw what the model is given: people with their ids, after augmentation."""

import argparse
from pathlib import Path

from mmps.cli.common import config_parser, run_tool
from mmps.utils.config import load_config
from mmps.utils.errors import UserError


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = config_parser('Draw the images of a data set as its pipeline hands them over.')
    parser.add_argument('--output-dir', default='work_dirs/browse_dataset', help='where to write')
    parser.add_argument('--split', choices=('train', 'val', 'test'), default='train')
    parser.add_argument('--limit', type=int, default=50, help='number of images, evenly spaced')
    parser.add_argument('--seed', type=int, default=0, help='of the augmentation')
    return parser.parse_args(argv)


def build_dataset(config, split: str, path: str):
    """The data set of a split, with the pipeline of the config."""
    from mmengine.registry import init_default_scope

    from mmps.registry import DATASETS

    loader = config.get(f'{split}_dataloader')
    if loader is None:
        raise UserError(f'config {path} has no {split}_dataloader')
    init_default_scope(config.get('default_scope', 'mmps'))
    return DATASETS.build(loader.dataset)


def main(argv: list[str] | None = None) -> None:
    from mmengine.runner import set_random_seed
    from tqdm import tqdm

    from mmps.visualization import draw_packed, write_image
    from mmps.visualization.sheets import spread

    arguments = parse_arguments(argv)
    config = load_config(arguments.config, arguments.cfg_options)
    dataset = build_dataset(config, arguments.split, arguments.config)
    set_random_seed(arguments.seed)
    for index in tqdm(spread(len(dataset), arguments.limit), desc='drawing'):
        packed = dataset[index]
        name = Path(packed['data_samples'].img_name).with_suffix('.jpg')
        picture = draw_packed(packed, original_pixels=dataset.test_mode)
        write_image(Path(arguments.output_dir, name), picture)
    print(f'pictures: {arguments.output_dir}')


if __name__ == '__main__':
    run_tool(main)
