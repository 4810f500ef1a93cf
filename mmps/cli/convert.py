"""Arguments and output that tools for the files of data sets have in common."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmps.cli.main import call_of
from mmps.evaluation.functional.annotations import UNLABELLED
from mmps.formats import FORMATS, SceneFiles, scene_files
from mmps.formats.coco import SPLITS, UNKNOWN_CAMERA
from mmps.formats.converters.annotated_images import Annotations, Tally
from mmps.formats.converters.own_data import convert_own_data
from mmps.formats.scene_index import SceneIndex
from mmps.utils.config import PROJECT
from mmps.utils.errors import UserError, data_errors

if TYPE_CHECKING:
    from mmengine.config import Config, ConfigDict


def datasets_of(config: Config, path: str, splits: Sequence[str] = SPLITS) -> dict[str, ConfigDict]:
    """The config of the data set of each split, whose files can be read without building it."""
    found = {}
    for split in splits:
        key = f'{split}_dataloader.dataset'
        dataset = (config.get(f'{split}_dataloader') or {}).get('dataset')
        if dataset is None:
            raise UserError(f'config {path} has no {key}')
        kind = dataset.get('type')
        if 'dataset' in dataset or 'datasets' in dataset:
            raise UserError(
                f'{key} of {path} is a {kind} around other data sets; make a config for each of '
                f'them, or name one with --cfg-options {key}=...'
            )
        if kind not in FORMATS:
            raise UserError(
                f'{key} of {path} is a {kind}; this tool reads {", ".join(FORMATS)} without '
                'building them'
            )
        if not dataset.get('data_root'):
            raise UserError(f'{key} of {path} has no data_root')
        found[split] = dataset
    return found


def files_of(config: Config, path: str) -> dict[str, SceneFiles]:
    """The files of a config's training and test set, by ``'train'`` and ``'test'``."""
    files = {split: scene_files(dataset) for split, dataset in datasets_of(config, path).items()}
    for split, source in files.items():
        if source.split != split:
            raise UserError(f'{split}_dataloader.dataset of {path} is the other split')
    return files


def add_arguments(parser: argparse.ArgumentParser, *, named: bool = True) -> None:
    """Add what every converter of own data takes, also where people and cameras have no names."""
    parser.add_argument(
        '--images', type=Path, metavar='DIR', help='folder that names of images are relative to'
    )
    parser.add_argument(
        '--out', type=Path, metavar='DIR', help='where to write train.json and test.json'
    )
    parser.add_argument(
        '--test-share',
        type=float,
        default=0.3,
        help='share of the people to test with, where nothing says so (default: 0.3)',
    )
    parser.add_argument('--seed', type=int, default=0, help='of that choice (default: 0)')
    if named:
        parser.add_argument(
            '--unlabelled',
            nargs='+',
            default=['-1', '-2'],
            metavar='VALUE',
            help='person ids that mean "nobody knows who" (default: -1 -2), beside no value at all',
        )
        parser.add_argument(
            '--camera-pattern',
            metavar='REGEX',
            help='where names of images hold the camera, in brackets, e.g. "^c([0-9]+)_" '
            '(default: the first folder of the name)',
        )


def convert(
    read: Callable[[Annotations], None], arguments: argparse.Namespace, *, out: Path, images: Path
) -> None:
    """Read, convert, and print what was read and written, what was left out, and what comes next.

    ``out`` and ``images`` are the folders if the arguments, of :func:`add_arguments`, name none.
    """
    out, images = arguments.out or out, arguments.images or images
    options = {k: v for k, v in vars(arguments).items() if k in ('unlabelled', 'camera_pattern')}
    annotations = Annotations(images, **options)
    with data_errors():
        read(annotations)
        splits, cameras = convert_own_data(
            annotations, out, test_share=arguments.test_share, seed=arguments.seed
        )
    for split, index in splits.items():
        print(f'{split}: {summary(index)} -> {out / split}.json')
    if any(str(number) != name for name, number in cameras.items()):
        names = sorted((number, name) for name, number in cameras.items())
        print('cameras: ' + ', '.join(f'{number} = {name}' for number, name in names))
    print_tally(annotations.tally)
    config, new = write_config(out, images)
    kept = '' if new else ', which was there already'
    print(f'config: {config}{kept}; look at the data, and train with')
    for script in ('analysis_tools/dataset_report.py', 'train.py'):
        print(f'  {call_of(script)} {config}')


def summary(index: SceneIndex) -> str:
    """What a split holds, in numbers."""
    ids = [person for frame in index.frames for person in frame.person_ids.tolist()]
    labelled = [person for person in ids if person != UNLABELLED]
    counts = {
        'images': len(index.frames),
        'cameras': len({frame.camera for frame in index.frames} - {UNKNOWN_CAMERA}),
        'boxes': len(ids),
        'labelled': len(labelled),
        'identities': len(set(labelled)),
        'queries': len(index.queries),
    }
    return ', '.join(f'{count} {name}' for name, count in counts.items() if count)


def print_tally(tally: Tally) -> None:
    """Print what was left out or decided."""
    for line in tally.lines():
        print(f'  {line}')


_CONFIG = """\
# A small network for the data beside this file; docs/own_data.md names larger ones.
_base_ = {base!r}

dataset ={dataset}
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader
"""


def write_config(data_root: Path, image_root: Path) -> tuple[Path, bool]:
    """A config that trains on what was written, and whether it is new: none is written over."""
    root = Path(data_root).resolve()
    base = PROJECT / 'configs/custom/ps_densenet_slim_att_own_data.py'
    path = Path(data_root, re.sub(r'\W', '_', root.name) + '.py')
    if root.is_relative_to(PROJECT):  # so that both can be moved together
        base = Path(os.path.relpath(base, root))
    new = not path.exists()
    if new:
        dataset = dataset_config(data_root, image_root)
        path.write_text(_CONFIG.format(base=base.as_posix(), dataset=dataset[1:]), 'utf-8')
    return path, new


def dataset_config(data_root: Path, image_root: Path) -> str:
    """The data set of a config that reads what was written."""
    folder = Path(image_root).resolve()
    root = Path(data_root).resolve()
    if folder.is_relative_to(root):
        folder = folder.relative_to(root)
    name = '' if folder == Path('.') else folder.as_posix()
    return (
        f"  dict(type='CocoPersonSearchDataset', data_root={str(data_root)!r}, "
        f'image_folder={name!r})'
    )
