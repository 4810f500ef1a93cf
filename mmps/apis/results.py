"""The person who was searched for, and who was found."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmps import visualization
from mmps.sources import Problem, as_image, counted, format_offset, format_time, read_frame
from mmps.utils.files import whole_file
from mmps.visualization import (
    Cell,
    draw_hits,
    draw_match,
    finish_picture,
    write_image,
)
from mmps.visualization.sheets import remove_pictures

if TYPE_CHECKING:
    import pandas
    from PIL.Image import Image

    from mmps.apis.judgement import Judgement
    from mmps.retrieval import Appearance, Gallery, Hit, Where


@dataclass(frozen=True, eq=False)
class Query:
    """A person to search for.

    Example:
        >>> from mmps.testing.search import tiny_gallery
        >>> query = Query('/photos/me.jpg', np.float32([10, 20, 60, 170]), np.float32([1, 0]))
        >>> (hits,) = tiny_gallery().search(query.embedding, top_k=1)
        >>> hits[0].source, hits[0].similarity
        ('door.mp4', 1.0)

    Attributes:
        image: Absolute path of the image they are in, or (h, w, 3) uint8 BGR.
        bbox: (4,) float32 xyxy in its pixels.
        embedding: (D,) float32 of unit norm.
        scene_filter: (3 * S + 2,) float32, what the person looks for in scenes; None where the
            model makes none, or the image is no scene.
    """

    image: str | np.ndarray = field(repr=False)
    bbox: np.ndarray
    embedding: np.ndarray = field(repr=False)
    scene_filter: np.ndarray | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False, repr=False)
class SearchResult:
    """Who was found, best first. ``len``, iteration and ``result[0]`` give the hits.

    Example:
        >>> from mmps.testing.search import tiny_gallery, tiny_searcher
        >>> black = np.zeros((150, 50, 3), np.uint8)
        >>> result = tiny_searcher().search(black, gallery=tiny_gallery(), top_k=2)
        >>> len(result), result[0].source
        (2, 'door.mp4')
        >>> result.to_pandas()[['source', 'similarity', 'start', 'end']].round(3)
             source  similarity  start  end
        0  door.mp4       1.000    0.0  1.0
        1  hall.mp4       0.995    0.0  1.0

    Attributes:
        query: Who was searched for.
        hits: Who was found: similarity, place and time; see :class:`mmps.retrieval.Hit`.
        gallery: Where.
        where: Among whom; None: everybody.
        judgement: How likely the hits are to be strangers; None where nothing was calibrated.
        appearances: From when to when each hit is in view, in the same order: ``hits[i]`` is
            ``appearances[i].hit``. Empty where every frame was asked for.
        approximate: Whether the gallery's index was searched, which may miss somebody. The
            similarities of who was found are exact all the same.
    """

    query: Query
    hits: Sequence[Hit]
    gallery: Gallery
    where: Where | None = None
    judgement: Judgement | None = None
    appearances: Sequence[Appearance] = ()
    approximate: bool = False

    def __repr__(self) -> str:
        best = f', the best {self.hits[0].similarity:.3f}' if self.hits else ''
        return f'<{type(self).__name__}: {len(self)} hits{best}>'

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def __getitem__(self, index: int) -> Hit:
        return self.hits[index]

    def plot(self, path: str | os.PathLike | None = None, blur_others: bool = False) -> Image:
        """Draw the query and the hits, cut out of their scenes, with similarity, camera and time.

        A picture that a notebook shows; also written to ``path``. ``blur_others`` makes everything
        but the query and the hits unrecognisable.
        """
        image = as_image(self.query.image)
        if blur_others:
            image = visualization.blur_others(image, self.query.bbox)
        query, judged = Cell(image, self.query.bbox, 'query'), self.judgement
        hits = [
            Cell(
                scene_of(hit, self.gallery, blur_others),
                np.array(hit.bbox),
                f'{hit.similarity:.2f}',
                f'cam {hit.camera}' if hit.camera is not None else '',
                [*([f'{judged.chance(rank)} strangers'] if judged else []), *_place(hit)],
            )
            for rank, hit in enumerate(self.hits)
        ]
        line = {} if judged is None else dict(above=judged.above, note=judged.describe())
        return finish_picture(draw_hits(query, hits, **line), path)

    def scene(self, rank: int, blur_others: bool = False) -> np.ndarray | None:
        """The scene of a hit, by its position, with the person outlined, (h, w, 3) uint8 BGR.

        None if the file is not there any more, or another one is.
        """
        hit = self.hits[rank]
        scene = scene_of(hit, self.gallery, blur_others)
        if scene is None:
            return None
        return draw_match(scene, np.array(hit.bbox), f'{rank + 1}: {hit.similarity:.2f}')

    def save(self, folder: str | os.PathLike, blur_others: bool = False) -> list[Path]:
        """Write the sheet of :meth:`plot`, and the scene of every hit, and list the files.

        The folder gets ``ranking.png``, ``hit_01.jpg``, ``hit_02.jpg``, ...; those of an earlier
        search are removed. A hit whose scene is not there any more has none.
        """
        remove_pictures(folder, 'hit_*.jpg')
        files = [Path(folder, 'ranking.png')]
        self.plot(files[0], blur_others)
        for rank in range(len(self)):
            scene = self.scene(rank, blur_others)
            if scene is not None:
                files.append(Path(folder, f'hit_{rank + 1:02d}.jpg'))
                write_image(files[-1], scene)
        return files

    def to_json(self, path: str | os.PathLike | None = None) -> str:
        """The query, the filter, the gallery's model and the hits; also written to ``path``.

        ``image`` of the query is null where it was not a file. Times are seconds since the epoch;
        ids are texts, for JavaScript and others have no integers as large.
        Where the gallery is calibrated, each hit has ``false_match``, the share of strangers that
        look at least as similar with its interval (less if ``at_most``, more if ``at_least``),
        and ``expected_strangers``, how many in this gallery; ``judgement`` is about all of them.
        ``appearances`` are those of the hits, in the same order: ``first`` to ``last`` in seconds
        since the epoch, ``start`` to ``end`` in the video, ``best`` the detection to show.
        ``approximate`` says that an index was searched.
        """
        image = self.query.image if isinstance(self.query.image, str) else None
        content = dict(
            query=dict(image=image, bbox=self.query.bbox.tolist()),
            where=None if self.where is None else asdict(self.where),
            model=self.gallery.model.as_dict(),
            hits=[_hit_as_json(hit) for hit in self.hits],
        )
        if self.approximate:
            content['approximate'] = True
        if self.judgement is not None:
            content['judgement'] = self.judgement.to_dict()
            judged = zip(self.judgement.matches, self.judgement.expected, strict=True)
            for hit, (match, strangers) in zip(content['hits'], judged, strict=True):
                hit |= dict(false_match=asdict(match), expected_strangers=strangers)
        if self.appearances:
            content['appearances'] = [_as_json(one) for one in self.appearances]
        text = json.dumps(content, indent=2)
        if path is not None:
            with whole_file(path) as temporary:
                temporary.write_text(text + '\n')
        return text

    def to_pandas(self) -> pandas.DataFrame:
        """A row for each hit; metadata have columns, and so have the colours of clothes.

        ``time`` is a point in time (UTC), none where pandas has no such time. Where the gallery is
        calibrated, ``false_match`` is the share of strangers that look at least as similar,
        ``expected_strangers`` how many in this gallery. Of an appearance, ``first`` and ``last``
        are points in time, ``start`` and ``end`` seconds in the video, ``frames`` their number.
        """
        import pandas

        rows = [asdict(hit) for hit in self.hits]
        names = dict.fromkeys(name for hit in self.hits for name in hit.metadata)
        columns = {'rank': range(1, len(rows) + 1)}
        for key in ('id', 'similarity', 'score', 'source', 'frame', 'offset', 'camera'):
            columns[key] = [row[key] for row in rows]
        columns['offset'] = np.array(columns['offset'], np.float64)  # NaN: an image
        for number, key in enumerate(('x1', 'y1', 'x2', 'y2')):
            columns[key] = [hit.bbox[number] for hit in self.hits]
        for place in ('upper', 'lower'):
            columns[place] = [' '.join(row[place]) for row in rows]
        for name in names:
            columns[name] = [hit.metadata.get(name) for hit in self.hits]
        if self.judgement is not None:
            columns['false_match'] = [match.rate for match in self.judgement.matches]
            columns['expected_strangers'] = self.judgement.expected
        table = pandas.DataFrame(columns)

        def times(values: Sequence[float | None]) -> pandas.DatetimeIndex:
            return pandas.to_datetime([*values], unit='s', utc=True, errors='coerce')

        table.insert(6, 'time', times([row['time'] for row in rows]))
        if self.appearances:
            table['appearance'] = [one.id for one in self.appearances]
            for name in ('first', 'last'):
                table[name] = times([getattr(one, name) for one in self.appearances])
            for name in ('start', 'end'):
                table[name] = np.array([getattr(one, name) for one in self.appearances], np.float64)
            table['frames'] = [one.frames for one in self.appearances]
        return table

    def to_csv(self, path: str | os.PathLike) -> None:
        """Write the table of :meth:`to_pandas`."""
        with whole_file(path) as temporary:
            self.to_pandas().to_csv(temporary, index=False)


def scene_of(hit: Hit, gallery: Gallery, blur_others: bool = False) -> np.ndarray | None:
    """The scene (h, w, 3) uint8 BGR of a hit, in which others may be unrecognisable; None if it is
    not there any more.
    """
    try:
        scene = read_frame(hit.source, hit.frame, hit.offset)
    except (OSError, ValueError):
        return None
    if scene.shape[1::-1] != tuple(hit.size):
        return None
    if blur_others:
        everybody = gallery.people_in(hit.source, hit.frame)
        others = [person.bbox for person in everybody if person.id != hit.id]
        scene = visualization.blur_others(scene, np.array(hit.bbox), others)
    return scene


def _place(hit: Hit) -> list[str]:
    """Where and when, in two lines."""
    name = Path(hit.source).stem
    lines = [name if hit.offset is None else f'{name} {format_offset(hit.offset)}']
    return lines if hit.time is None else [*lines, format_time(hit.time, offset=False)]


def _hit_as_json(hit: Hit) -> dict[str, object]:
    similarity = None if np.isnan(hit.similarity) else hit.similarity
    numbers = dict(id=str(hit.id), tracklet=str(hit.tracklet), similarity=similarity)
    return asdict(hit) | numbers


def _as_json(one: Appearance) -> dict[str, object]:
    names = ('similarity', 'source', 'camera', 'first', 'last', 'start', 'end', 'frames')
    values = {name: getattr(one, name) for name in names}
    return dict(id=str(one.id), **values, hit=str(one.hit.id), best=_hit_as_json(one.best))


@dataclass(frozen=True)
class IndexReport:
    """What came of indexing.

    Example:
        >>> problem = Problem('scenes/7.jpg', 'the image: truncated after 812 bytes')
        >>> print(IndexReport(120, 340, known=20, problems=(problem,), seconds=60.0))
        120 images added in 60 s, 2.0/s; 340 sightings of people in them; 20 were there already
        1 problems, what they concern was left out:
          scenes/7.jpg: the image: truncated after 812 bytes

    Attributes:
        frames: Images and frames of videos that were added, those without people included.
        people: People found in them, everybody as often as they were seen.
        known: Those that were there already, and were passed over.
        problems: Why files or frames were left out.
        seconds: How long it took.
        passed_over: Files in folders that are neither images nor videos, by their suffix.
    """

    frames: int
    people: int
    known: int
    problems: tuple[Problem, ...]
    seconds: float
    passed_over: Counter[str] = field(default_factory=Counter)

    def __add__(self, later: IndexReport) -> IndexReport:
        """This and what was done after it."""
        return IndexReport(
            self.frames + later.frames,
            self.people + later.people,
            self.known + later.known,
            tuple(dict.fromkeys((*self.problems, *later.problems))),
            self.seconds + later.seconds,
            self.passed_over + later.passed_over,
        )

    @property
    def failed(self) -> bool:
        """Whether nothing could be read at all."""
        return bool(self.problems) and not self.frames and not self.known

    def __str__(self) -> str:
        rate = f', {self.frames / self.seconds:.1f}/s' if self.frames else ''
        lines = [
            f'{self.frames:,} images added in {self.seconds:.0f} s{rate}; '
            f'{self.people:,} sightings of people in them'
            + (f'; {self.known} were there already' if self.known else '')
        ]
        if self.passed_over:
            lines.append(f'passed over: {counted(self.passed_over)}')
        if self.problems:
            lines.append(f'{len(self.problems)} problems, what they concern was left out:')
            lines += [f'  {problem}' for problem in self.problems]
        return '\n'.join(lines)
