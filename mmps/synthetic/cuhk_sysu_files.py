"""The annotation files of CUHK-SYSU (Xiao et al., Joint Detection and Identification Feature
Learning for Person Search, 2017), written from lists of names and boxes."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from mmps.synthetic import mat5

Box = tuple[float, float, float, float]
GALLERY_SIZES = (50, 100, 500, 1000, 2000, 4000)
SUBSETS = {'occlusion': ('Occlusion', 'Occlusion1'), 'resolution': ('Resolution', 'Test_Size')}
_ENTRY = ('imname', 'idlocate', 'ishard')


class Entry(NamedTuple):
    """An image, and where it shows a person: x, y, width, height, or None if it does not."""

    image: str
    box: Box | None = None


class Search(NamedTuple):
    """A query person and the images to search, those that show the person first."""

    name: str
    query: Entry
    gallery: Sequence[Entry]


def image_path(root: Path, name: str) -> Path:
    """Where an image lies."""
    return root / 'Image' / 'SSM' / name


def write_images(root: Path, people: Mapping[str, Sequence[Box]]) -> None:
    """Writes the boxes of everybody in all images, both splits."""
    rows = []
    for name, boxes in people.items():
        listed = mat5.structs(_ENTRY[1:], [[_numbers(box), mat5.numbers([0])] for box in boxes])
        rows.append([mat5.text(name), mat5.numbers([len(boxes)]), listed])
    images = mat5.structs(('imname', 'nAppear', 'box'), rows)
    _write(root / 'annotation' / 'Images.mat', 'Img', images)


def write_pool(root: Path, names: Iterable[str]) -> None:
    """Writes the names of the test images."""
    cells = mat5.cell([mat5.text(name) for name in names])
    _write(root / 'annotation' / 'pool.mat', 'pool', cells)


def write_train(root: Path, identities: Sequence[Sequence[Entry]]) -> None:
    """Writes the appearances of each training identity."""
    cells = []
    for number, entries in enumerate(identities, 1):
        scene = mat5.structs(_ENTRY, [[_entry(*entry)] for entry in entries])
        row = [mat5.text(f'p{number}'), mat5.numbers([len(entries)]), scene]
        cells.append(mat5.structs(('idname', 'nAppear', 'scene'), [row]))
    _write(root / 'annotation/test/train_test/Train.mat', 'Train', mat5.cell(cells))


def write_protocol(root: Path, protocol: int | str, searches: Iterable[Search]) -> None:
    """Writes the searches of a gallery size or of a subset."""
    if isinstance(protocol, int):
        path, key = Path('train_test') / f'TestG{protocol}.mat', f'TestG{protocol}'
    else:
        path, key = Path('subset') / f'{SUBSETS[protocol][0]}.mat', SUBSETS[protocol][1]
    rows = []
    for search in searches:
        query = [_entry(*search.query), mat5.text(search.name)]
        gallery = [(_entry(*entry),) for entry in search.gallery]
        rows.append([mat5.structs((*_ENTRY, 'idname'), [query]), mat5.structs(_ENTRY, gallery)])
    variable = mat5.structs(('Query', 'Gallery'), rows)
    _write(root / 'annotation/test' / path, key, variable)


@lru_cache(maxsize=2**16)
def _entry(image: str, box: Box | None) -> bytes:
    return mat5.text(image) + _numbers(box) + mat5.numbers([0])


def _numbers(box: Box | None) -> bytes:
    return mat5.numbers([], (1, 0)) if box is None else mat5.numbers(box)


def _write(path: Path, name: str, array: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mat5.write_variable(path, name, array)
