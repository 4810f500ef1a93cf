"""What a data set holds and every problem found in it, from tables of its images and boxes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from mmps.evaluation.functional.annotations import UNLABELLED, SearchGalleries
from mmps.evaluation.functional.matching import box_iou
from mmps.utils.image_files import ImageHeader, open_image
from mmps.utils.image_folder import ImageFolder

from .loading import load_scenes
from .scene_index import SceneFiles, SceneIndex

KINDS: dict[str, tuple[str, str]] = {
    'image file missing': ('error', 'training and evaluation stop; unpack the images again'),
    'image damaged': ('error', 'truncated or no image; fetch or unpack it again'),
    'box outside the image': ('error', 'shows nothing; wrong scale, order or image'),
    'boxes are two corners': ('error', 'x1, y1, x2, y2 where x, y, width, height are read'),
    'fewer than two identities': ('error', 're-ID has nobody to tell from anybody else'),
    'most people do not fit the anchors': (
        'error',
        "they are not learnt; change scale in both pipelines, or the anchors' scales",
    ),
    'person does not fit the anchors': ('warning', 'too small or too large to be learnt'),
    'query without a positive': ('warning', 'nobody to find: left out of the means'),
    'box reaching out of the image': ('warning', 'part of it shows nothing'),
    'box without area': ('warning', 'left out of training and evaluation'),
    'box listed twice': ('warning', 'one of the two can never be found'),
    'identity of both splits': ('warning', 'a test person in training images, by the number'),
    'identity twice in an image': ('warning', 'only the first box counts as a positive'),
    'query box not annotated': ('warning', 'no box of its image has these coordinates'),
    'query annotated as somebody else': ('warning', 'its box has another id in its image'),
    'query listed twice': ('warning', 'counts twice in every average'),
    'image repeated in a gallery': ('warning', 'its people count twice, or cannot be found'),
    'own image in the gallery': ('warning', 'the query finds itself'),
    'positive not annotated': ('warning', 'no box of its image has these coordinates'),
    'person in a gallery image not marked': ('warning', 'finding them counts as wrong'),
    'identity in one image': ('note', 'nothing to compare with'),
    'identity seen by one camera': ('note', 'teaches nothing about change of camera'),
    'image without people': ('note', 'teaches and tests detection only'),
    'image of another size': ('note', 'nearly all others of this camera have one size'),
    'image turned by EXIF': ('note', 'boxes have to fit the picture as it is displayed'),
}
"""Severity and consequence of each kind of problem, in the order of a report.

Errors stop training or evaluation, or make its numbers mean nothing; warnings are probably mistakes
of whoever annotated or converted the data; notes are found in the field's own data sets as well.
"""

UNTRAINABLE = (
    'boxes are two corners',
    'fewer than two identities',
    'most people do not fit the anchors',
)
"""Errors with which a training would run, and learn nothing."""

EXAMPLES = 5
"""Cases of a problem that are spelt out."""

USUAL_SHARE = 0.9
"""Share of a camera's images that have one size, from which on the others are remarkable."""

ROUNDING = 1.0
"""Pixels that a box may reach out of its image without being reported: corners are rounded."""

_CORNERS = ['x1', 'y1', 'x2', 'y2']


class Anchors(NamedTuple):
    """What sizes of people a network can learn to detect.

    Attributes:
        sizes: (A, 2) width and height of each anchor, in pixels of the scaled image.
        scale: Larger and smaller side that images are scaled to fit into.
        overlap: IoU that a person needs with some anchor.
    """

    sizes: np.ndarray
    scale: tuple[float, float]
    overlap: float


@dataclass(frozen=True)
class Problem:
    """All cases of one kind in one split.

    Attributes:
        kind: One of :data:`KINDS`.
        split: ``'train'`` or ``'test'``.
        count: Number of cases.
        examples: The first of them, with file and row where known.
    """

    kind: str
    split: str
    count: int
    examples: tuple[str, ...]

    @property
    def severity(self) -> str:
        """``'error'``, ``'warning'`` or ``'note'``."""
        return KINDS[self.kind][0]

    @property
    def consequence(self) -> str:
        return KINDS[self.kind][1]

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self), severity=self.severity, consequence=self.consequence)


class Split:
    """One split of a data set as tables.

    Attributes:
        name: ``'train'`` or ``'test'``.
        index: As ``load_scenes`` gives it.
        removed: ``file (row)`` of each box without area.
        images: ``name``, ``source`` and ``camera`` (-1: unknown) of each image; ``width`` and
            ``height`` as displayed, NaN until the files are opened.
        boxes: ``image`` (its row), ``row`` in its annotations, corners and ``person`` of each box.
        queries: ``image``, corners, ``person`` and ``source`` of each query.
        seen: ``person`` and ``image``, each pair once and in this order, and the ``camera``.
        problems: What was found, by kind.
    """

    def __init__(self, name: str, index: SceneIndex, removed: Sequence[str] = ()) -> None:
        self.name, self.index, self.removed = name, index, removed
        self.problems: dict[str, Problem] = {}
        frames, queries, arrays = index.frames, index.queries, index.arrays()
        self.images = pd.DataFrame(
            [(frame.name, frame.source, frame.camera) for frame in frames],
            columns=['name', 'source', 'camera'],
        ).astype({'camera': np.int64})
        self.images[['width', 'height']] = np.nan
        image = np.repeat(np.arange(len(frames)), np.diff(arrays['box_splits']))
        boxes = _table(arrays['bboxes']).assign(image=image, person=arrays['person_ids'])
        self.boxes = boxes.assign(row=boxes.groupby('image').cumcount())
        places = {frame.name: place for place, frame in enumerate(frames)}
        self.queries = _table(arrays['query_bboxes']).assign(
            image=np.array([places[query.image_name] for query in queries], np.int64),
            person=np.array([query.person_id for query in queries], np.int64),
            source=[query.source for query in queries],
        )
        seen = boxes.loc[boxes.person != UNLABELLED, ['person', 'image']]
        seen = seen.drop_duplicates().sort_values(['person', 'image'], ignore_index=True)
        self.seen = seen.assign(camera=self.images.camera.to_numpy()[seen.image])

    def add(self, kind: str, cases: pd.DataFrame | Sequence, show: Callable = str) -> None:
        """Count these rows of a table, or other cases, as problems of a kind; show the first."""
        old = self.problems.get(kind, Problem(kind, self.name, 0, ()))
        first = cases[: EXAMPLES - len(old.examples)]
        rows = first.itertuples() if isinstance(first, pd.DataFrame) else first
        examples = (*old.examples, *map(show, rows))
        if len(cases):
            self.problems[kind] = Problem(kind, self.name, old.count + len(cases), examples)

    def show_box(self, box: Any) -> str:
        """File, image and row of a box, and the box."""
        name, source = self.images.loc[box.image, ['name', 'source']]
        where = source if name in source else f'{source}: {name}'
        return f'{where} (box {box.row}): {_show_corners(box)}'

    def show_person(self, person: int) -> str:
        """How to call an identity, in the numbering of the files."""
        raw = self.index.raw_ids
        return f'identity {person if raw is None else int(raw[person])}'

    def show_query(self, query: Any) -> str:
        """File and row of a query, the person, and the image."""
        return f'{query.source}: identity {query.person} in {self.images.name[query.image]}'

    def other_images_of_queries(self) -> np.ndarray:
        """(Q,) int64: images, other than the query's own, that show the person of each query."""
        shown = self.queries.person.map(self.seen.person.value_counts()).fillna(0)
        return (shown - _contains(self.seen, self.queries, ['person', 'image'])).to_numpy(np.int64)


def _table(bboxes: np.ndarray) -> pd.DataFrame:
    """The corners of boxes, in float64, which compares with any other."""
    return pd.DataFrame(bboxes.astype(np.float64), columns=_CORNERS)


def _contains(table: pd.DataFrame, rows: pd.DataFrame, columns: list[str]) -> np.ndarray:
    """(n,) bool: whether each of ``rows`` has the values of a row of ``table`` in ``columns``."""
    found = rows[columns].merge(table[columns].drop_duplicates(), 'left', columns, indicator='in')
    return (found['in'] == 'both').to_numpy()


def _show_corners(box: Any) -> str:
    return f'[{box.x1:g}, {box.y1:g}, {box.x2:g}, {box.y2:g}]'


def annotation_problems(split: Split) -> None:
    """What boxes and identities alone show."""
    boxes, seen, images, person = split.boxes, split.seen, split.images, split.show_person
    split.add('box without area', split.removed)
    again = boxes[boxes.duplicated(['image', *_CORNERS])]
    split.add('box listed twice', again, split.show_box)
    known = boxes[boxes.person != UNLABELLED]
    split.add(
        'identity twice in an image',
        known[known.duplicated(['image', 'person'])],
        lambda box: f'{split.show_box(box)}: {person(box.person)}',
    )
    once = seen[~seen.duplicated('person', keep=False)]
    split.add(
        'identity in one image', once, lambda row: f'{person(row.person)}: {images.name[row.image]}'
    )
    pairs = seen[seen.camera != UNLABELLED].drop_duplicates(['person', 'camera'])
    single = pairs[~pairs.duplicated('person', keep=False) & ~pairs.person.isin(once.person)]
    if pairs.camera.nunique() > 1:
        split.add(
            'identity seen by one camera',
            single,
            lambda row: f'{person(row.person)}: camera {row.camera}',
        )
    split.add('image without people', list(images.name[~images.index.isin(boxes.image)]))
    if split.name == 'train' and (count := seen.person.nunique()) < 2:
        split.add('fewer than two identities', [f'labelled identities: {count}'])


def shared_identities(train: Split, test: Split) -> None:
    """Numbers that stand for somebody in both splits, if the splits are numbered alike."""
    raw = train.index.raw_ids
    trained = [] if raw is None else raw[train.seen.person.unique()]
    shared = np.intersect1d(trained, test.seen.person).astype(np.int64)
    test.add('identity of both splits', shared, lambda person: f'identity {person}')


def search_problems(split: Split) -> None:
    """What queries and galleries show; nothing for a training split."""
    queries, boxes, place = split.queries, split.boxes, ['image', *_CORNERS]
    if queries.empty:
        return
    known = _contains(boxes, queries, place)
    same = _contains(boxes, queries, [*place, 'person'])
    split.add('query box not annotated', queries[~known], partial(_nearest, split))
    other = queries[known & ~same]
    split.add('query annotated as somebody else', other, split.show_query)
    repeated = queries[queries.duplicated(place)]
    split.add('query listed twice', repeated, split.show_query)
    if not split.index.galleries:
        alone = queries[split.other_images_of_queries() == 0]
        split.add('query without a positive', alone, split.show_query)
    for name, gallery in split.index.galleries.items():
        _gallery_problems(split, name, gallery)


def _nearest(split: Split, query: Any) -> str:
    text = f'{split.show_query(query)}: {_show_corners(query)}'
    others = split.boxes[split.boxes.image == query.image]
    if others.empty:
        return f'{text}, and nobody is annotated there'
    bbox = np.array([[query.x1, query.y1, query.x2, query.y2]])
    ious = box_iou(others[_CORNERS].to_numpy(), bbox)
    nearest = _show_corners(others.iloc[ious.argmax()])
    return f'{text}; the nearest is {nearest} (IoU {ious.max():.2f})'


def _gallery_problems(split: Split, name: int | str, gallery: SearchGalleries) -> None:
    """What the searches of one explicit protocol show, which may have millions of entries."""
    search = np.repeat(np.arange(len(gallery)), np.diff(gallery.splits))
    wanted = split.queries.loc[gallery.queries].reset_index(drop=True)

    def show_search(number: int) -> str:
        return f'gallery {name}, search {number}: {split.show_query(wanted.loc[number])}'

    def show_entry(entry: int) -> str:
        number = search[entry]
        image = split.images.name[gallery.images[entry]]
        return f'{show_search(number)}, entry {entry - gallery.splits[number]}: {image}'

    found = np.diff(np.searchsorted(gallery.positives, gallery.splits))
    split.add('query without a positive', np.flatnonzero(found == 0), show_search)
    own = gallery.images == wanted.image.to_numpy()[search]
    split.add('own image in the gallery', np.flatnonzero(own), show_entry)
    number_of_images = len(split.images)
    repeated = pd.Series(search * number_of_images + gallery.images).duplicated()
    split.add('image repeated in a gallery', np.flatnonzero(repeated), show_entry)
    positives = _table(gallery.bboxes).assign(image=gallery.images[gallery.positives])
    unknown = ~_contains(split.boxes, positives, ['image', *_CORNERS])
    split.add('positive not annotated', gallery.positives[unknown], show_entry)
    seen = split.seen.person.to_numpy() * number_of_images + split.seen.image.to_numpy()
    shown = np.isin(wanted.person.to_numpy()[search] * number_of_images + gallery.images, seen)
    shown[gallery.positives] = False
    unmarked = np.flatnonzero(shown & ~own)
    split.add('person in a gallery image not marked', unmarked, show_entry)


def image_problems(
    split: Split,
    folder: Path,
    *,
    open_images: bool = False,
    decode_images: bool = False,
    anchors: Anchors | None = None,
) -> None:
    """What the files in ``folder`` show; those that are opened fill in the sizes of the split's
    images. Unless images are opened, only missing files are found.
    """
    files = ImageFolder(folder)
    missing = [files.path(name) for name in split.images.name if files.find(name) is None]
    split.add('image file missing', missing)
    if not (open_images or decode_images):
        return
    paths = [Path(files.path(name)) for name in split.images.name]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        opened = pool.map(partial(open_image, decode=decode_images), paths)
        title = f'Opening {split.name} images'
        headers = list(tqdm(opened, title, len(paths), delay=2, leave=False))
    known = [h if isinstance(h, ImageHeader) else None for h in headers]
    sizes = [(h.width, h.height) if h else (np.nan, np.nan) for h in known]
    split.images[['width', 'height']] = np.array(sizes).reshape(-1, 2)
    turned = [
        str(path) for path, header in zip(paths, known, strict=True) if header and header.turned
    ]
    wrong = [h for h in headers if not isinstance(h, (ImageHeader, FileNotFoundError))]
    split.add('image damaged', wrong)
    split.add('image turned by EXIF', turned)
    boxes = split.boxes.join(split.images[['width', 'height']], on='image')
    outside = (boxes.x1 >= boxes.width) | (boxes.y1 >= boxes.height)
    outside |= (boxes.x2 <= 0) | (boxes.y2 <= 0)
    behind = (boxes.x2 > boxes.width + ROUNDING) | (boxes.y2 > boxes.height + ROUNDING)
    before = (boxes.x1 < -ROUNDING) | (boxes.y1 < -ROUNDING)
    for kind, cases in (
        ('box outside the image', boxes[outside]),
        ('box reaching out of the image', boxes[(behind | before) & ~outside]),
    ):
        split.add(
            kind, cases, lambda b: f'{split.show_box(b)} in {b.width:g} x {b.height:g} pixels'
        )
    # Width and height of nearly all boxes would be a second corner, right of and below the first
    # and inside the image, and many reach out of the image as they are.
    wide, high = boxes.x2 - boxes.x1, boxes.y2 - boxes.y1
    corner = (wide > boxes.x1) & (high > boxes.y1)
    corner &= (wide <= boxes.width + ROUNDING) & (high <= boxes.height + ROUNDING)
    corners = corner.mean() >= 0.99 and behind.mean() >= 0.2
    split.add('boxes are two corners', boxes if corners else boxes[:0], split.show_box)
    known = boxes[boxes.width.notna()]
    if anchors is not None and len(known) and not corners:
        _without_anchor(split, known, anchors)
    _unusual_sizes(split)


def _without_anchor(split: Split, boxes: pd.DataFrame, anchors: Anchors) -> None:
    """People whom the network cannot learn to detect; of another kind if they are most."""
    sides = np.sort(boxes[['width', 'height']].to_numpy(), axis=1)
    factor = (np.sort(anchors.scale) / sides).min(1, keepdims=True)
    sizes = factor * (boxes[['x2', 'y2']].to_numpy() - boxes[['x1', 'y1']].to_numpy())
    # the largest overlap that an anchor can have with a person of this size, wherever it is
    shared = np.minimum(sizes[:, None], anchors.sizes).prod(2)
    united = sizes.prod(1)[:, None] + anchors.sizes.prod(1) - shared
    missed = (shared / united).max(1) < anchors.overlap
    sides = np.sqrt(anchors.sizes.prod(1))
    wide, high = anchors.scale
    split.add(
        f'{"most people do" if missed.mean() > 0.5 else "person does"} not fit the anchors',
        boxes.assign(w=sizes[:, 0], h=sizes[:, 1])[missed],
        lambda b: (
            f'{split.show_box(b)}: {b.w:.0f} x {b.h:.0f} pixels at {wide:g} x {high:g}, where '
            f'anchors have the area of {sides.min():.0f} to {sides.max():.0f} squared'
        ),
    )


def _unusual_sizes(split: Split) -> None:
    """Images unlike the rest of their camera, where nearly all the rest has one size."""
    known = split.images[(split.images.camera != UNLABELLED) & split.images.width.notna()]
    for camera, group in known.groupby('camera'):
        kinds = group.groupby(['width', 'height']).size()
        wide, high = kinds.idxmax()
        if kinds.max() >= USUAL_SHARE * len(group):
            split.add(
                'image of another size',
                group[(group.width != wide) | (group.height != high)],
                lambda image, usual=f'camera {camera} has {wide:g} x {high:g}': (
                    f'{image.name}: {image.width:g} x {image.height:g}, {usual}'
                ),
            )


@dataclass(frozen=True)
class SplitStatistics:
    """What a split holds.

    Attributes:
        counts: Numbers of things, by what they are called.
        distributions: ``box_height`` (N,) in pixels, ``boxes_per_image`` (I,),
            ``images_per_identity`` (P,) and ``cameras_per_identity`` (P,), known cameras alone.
        images_per_camera: Number of images by camera, -1 where unknown.
        positives_per_query: Appearances to be found in each search, by gallery; ``'all images'``
            where each query is searched in every other image.
        image_sizes: Number of images by ``'width x height'``; empty where they were not looked at.
    """

    counts: dict[str, int | float]
    distributions: dict[str, np.ndarray]
    images_per_camera: dict[int, int]
    positives_per_query: dict[str, np.ndarray]
    image_sizes: dict[str, int]

    @classmethod
    def of(cls, split: Split) -> SplitStatistics:
        images, boxes, seen, index = split.images, split.boxes, split.seen, split.index
        labelled = int((boxes.person != UNLABELLED).sum())
        cameras = images.camera[images.camera != UNLABELLED]
        known_cameras = seen.camera.where(seen.camera != UNLABELLED).groupby(seen.person)
        sizes = images[['width', 'height']].dropna().value_counts()
        positives = {
            str(name): np.diff(np.searchsorted(gallery.positives, gallery.splits))
            for name, gallery in index.galleries.items()
        } or {'all images': split.other_images_of_queries()}
        return cls(
            counts=dict(
                images=len(images),
                boxes=len(boxes),
                labelled_boxes=labelled,
                unlabelled_share=1 - labelled / len(boxes) if len(boxes) else 0.0,
                identities=seen.person.nunique(),
                cameras=cameras.nunique(),
                queries=len(index.queries),
                galleries=len(index.galleries),
            ),
            distributions=dict(
                box_height=(boxes.y2 - boxes.y1).to_numpy(),
                boxes_per_image=np.bincount(boxes.image, minlength=len(images)),
                images_per_identity=seen.groupby('person').size().to_numpy(),
                cameras_per_identity=known_cameras.nunique().to_numpy(),
            ),
            images_per_camera=images.camera.value_counts().sort_index().to_dict(),
            positives_per_query=positives if index.queries else {},
            image_sizes={f'{w:g} x {h:g}': count for (w, h), count in sizes.items()},
        )

    def cells(self) -> dict[str, str]:
        """The counts as a table shows them."""
        return {
            label.replace('_', ' '): f'{v:.1%}' if isinstance(v, float) else f'{v:,}'
            for label, v in self.counts.items()
        }

    def to_json(self) -> dict[str, Any]:
        """Counts, and what describes each distribution."""

        def described(values: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
            quantiles = (0.05, 0.25, 0.5, 0.75, 0.95)
            tables = {k: pd.Series(v).describe(quantiles).dropna() for k, v in values.items()}
            return {name: table.to_dict() for name, table in tables.items()}

        return dict(
            **self.counts,
            **described(self.distributions),
            images_per_camera=self.images_per_camera,
            positives_per_query=described(self.positives_per_query),
            image_sizes=self.image_sizes,
        )


@dataclass(frozen=True)
class DatasetReport:
    """What a data set holds and what is wrong with it.

    Attributes:
        title: What the data set is called.
        statistics: Of each split, by its name.
        problems: In the order of their severity; those of which there is no case are left out.
    """

    title: str
    statistics: Mapping[str, SplitStatistics]
    problems: Sequence[Problem]

    @property
    def has_errors(self) -> bool:
        """Whether anything was found that stops training or evaluation or makes it meaningless."""
        return any(problem.severity == 'error' for problem in self.problems)

    def to_json(self) -> dict[str, Any]:
        return dict(
            title=self.title,
            splits={name: part.to_json() for name, part in self.statistics.items()},
            problems=[problem.to_json() for problem in self.problems],
        )


def report_dataset(
    files: Mapping[str, SceneFiles],
    image_folders: Mapping[str, Path],
    *,
    title: str,
    open_images: bool = False,
    decode_images: bool = False,
    anchors: Anchors | None = None,
) -> DatasetReport:
    """Read a data set and look for everything that can be wrong with it.

    Args:
        files: Its splits, by ``'train'`` and ``'test'`` or one of them.
        image_folders: Of each split, what the names of its frames are relative to.
        title: What to call the data set.
        open_images: Read size, orientation and end of every image file.
        decode_images: Decode every image as well; implies ``open_images``.
        anchors: Of the network that is to learn from it, where it has any.
    """
    splits = {name: Split(name, *load_scenes(part)) for name, part in files.items()}
    for name, split in splits.items():
        files[name].prepare()
        image_problems(
            split,
            image_folders[name],
            open_images=open_images,
            decode_images=decode_images,
            anchors=anchors,
        )
        annotation_problems(split)
        search_problems(split)
    if len(splits) == 2:
        shared_identities(splits['train'], splits['test'])
    problems = [problem for split in splits.values() for problem in split.problems.values()]
    problems.sort(key=lambda problem: [*KINDS].index(problem.kind))
    statistics = {name: SplitStatistics.of(split) for name, split in splits.items()}
    return DatasetReport(title, statistics, problems)


def report_table(report: DatasetReport) -> str:
    """The report as text: a column of numbers for each split, then the problems."""
    numbers = pd.DataFrame({name: part.cells() for name, part in report.statistics.items()})
    lines = [report.title, '', numbers.to_string(), '']
    if not report.problems:
        lines.append('no problem found')
    for problem in report.problems:
        lines.append(
            f'{problem.severity:<8}{problem.split:<6}{problem.count:>8,}  {problem.kind}: '
            f'{problem.consequence}'
        )
        lines += [f'{"":<24}{example}' for example in problem.examples]
        if problem.count > len(problem.examples):
            lines.append(f'{"":<24}... and {problem.count - len(problem.examples):,} more')
    return '\n'.join(lines)
