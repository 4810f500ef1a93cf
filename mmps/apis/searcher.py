"""Find people, index them, and find one of them again."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mmps.apis.indexing import Indexer, map_batched
from mmps.apis.judgement import Judgement, calibrate_labelled
from mmps.apis.network import open_network, open_published
from mmps.apis.people import People
from mmps.apis.preprocessing import as_scene
from mmps.apis.results import IndexReport, Query, SearchResult
from mmps.published import find_model, is_model_name
from mmps.retrieval import Gallery, Where, refined_query
from mmps.retrieval.rows import check_model
from mmps.sources import (
    MAX_PIXELS,
    Problem,
    Provenance,
    Reading,
    absolute,
    as_image,
    find_files,
    is_live,
    new_files,
)
from mmps.utils.config import is_checkpoint
from mmps.utils.errors import UserError


def check_box(box: Sequence[float], image: np.ndarray) -> np.ndarray:
    """A box (4,) float32 xyxy, cut at the edges of an image (h, w, 3).

    Raises:
        ValueError: It is not a box, or nothing is left of it.
    """
    height, width = image.shape[:2]
    bbox = np.asarray(box, np.float32)
    if bbox.shape != (4,) or not np.isfinite(bbox).all():
        raise ValueError(f'box {box}: four numbers are needed, x1, y1, x2, y2 in pixels')
    cut = np.clip(bbox, 0, np.array([width, height] * 2, np.float32))
    if (cut[2:] - cut[:2] < 1).any():
        raise ValueError(
            f'box {bbox.tolist()}: it is empty or outside the image of {width} x {height} pixels; '
            'give x1, y1, x2, y2'
        )
    return cut


if TYPE_CHECKING:
    from mmengine.config import Config

    from mmps.apis.network import Network
    from mmps.evaluation.functional import Calibration, SearchAnnotations, SearchPredictions
    from mmps.retrieval import Appearance, ModelTag

ImageLike = str | os.PathLike | np.ndarray
Whole = Literal['whole']
SCORE_THR = 0.5
AMP = ('auto', 'bfloat16')
"""What precision can be asked for in place of float32."""


class AmbiguousQueryError(ValueError):
    """Nobody or several people are in a query image, and no box says who is meant.

    Attributes:
        people: Who is in it.
    """

    def __init__(self, message: str, people: People) -> None:
        super().__init__(message)
        self.people = people


class PersonSearcher:
    """A trained model with which to find people, and to find one of them again.

    Example:
        >>> from mmps.testing.search import tiny_gallery, tiny_searcher
        >>> searcher = tiny_searcher()  # or PersonSearcher('epoch_20.pth'), or ('omz-0013-0286')
        >>> picture = np.zeros((150, 50, 3), np.uint8)  # or 'me.jpg'
        >>> searcher.detect(picture).bboxes.tolist()
        [[0.0, 0.0, 50.0, 150.0]]
        >>> searcher.search(picture, gallery=tiny_gallery(), top_k=3)  # or gallery='people.lance'
        <SearchResult: 3 hits, the best 1.000>

    Args:
        config: Path of the model's config, or the config; or the name of a published model
            (:func:`mmps.published.model_names`), or a file ``F.yml`` of the same form; or a
            checkpoint alone, whose own config is taken.
        checkpoint: The weights; for another backend than ``torch`` the exported model. None for a
            published model, which names its own.
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda:0``, ...
        backend: One of :data:`~mmps.apis.network.BACKENDS`; None:
            :func:`~mmps.apis.network.default_backend`.
        batch_size: Images per pass of the network. None: as many as the config tests with, which
            makes embeddings equal to those of ``tools/test.py`` to the last bit.
        score_thr: People found with a lower score are left out. None: 0.5, or what a published
            model says.
        amp: ``bfloat16``; or ``auto``: bfloat16 where the device computes in it, else float32
            (``network.precision`` says which). None: float32, or what a published model of two
            files says.

    Attributes:
        tag: Which model it is.

    Raises:
        UserError: A file is missing or damaged, or the weights are of another model.
    """

    def __init__(
        self,
        config: str | os.PathLike | Config,
        checkpoint: str | os.PathLike | None = None,
        device: str = 'auto',
        *,
        backend: str | None = None,
        batch_size: int | None = None,
        score_thr: float | None = None,
        amp: str | None = None,
    ) -> None:
        if amp not in (None, *AMP):
            raise ValueError(f'amp={amp!r}: there are {", ".join(AMP)}')
        if isinstance(config, (str, os.PathLike)) and is_model_name(config):
            if checkpoint is not None:
                raise UserError(f'{config} names its own files; leave out {checkpoint}')
            model = find_model(config)
            score_thr = model.score_thr if score_thr is None else score_thr
            network, default = open_published(model, device, backend, score_thr, amp)
        else:
            if checkpoint is None and is_checkpoint(config):
                checkpoint = config
            network, default = open_network(config, checkpoint, device, backend, amp)
        self._set_up(
            network,
            default if batch_size is None else batch_size,
            SCORE_THR if score_thr is None else score_thr,
        )

    @classmethod
    def of_network(
        cls, network: Network, *, batch_size: int = 1, score_thr: float = SCORE_THR
    ) -> PersonSearcher:
        """Search with a network that exists already."""
        searcher = cls.__new__(cls)
        searcher._set_up(network, batch_size, score_thr)
        return searcher

    def _set_up(self, network: Network, batch_size: int, score_thr: float) -> None:
        if batch_size < 1:
            raise ValueError(f'batch_size={batch_size}: must be positive')
        self.network = network
        self.tag: ModelTag = network.tag
        self._batch_size = batch_size
        self._score_thr = score_thr

    def detect(self, images: ImageLike | Iterable[ImageLike]) -> People | Iterator[People]:
        """Find people.

        Args:
            images: A path or an array (h, w, 3) uint8 BGR; or any number of them, which may be a
                generator: few are held at a time.

        Returns:
            The people of the image; for several images an iterator over those of each, in order.
            Arrays are kept for :meth:`People.plot` only if a single one was given.

        Raises:
            OSError: A file cannot be read.
            ValueError: It, or the array, is not an image.
        """
        if isinstance(images, (str, os.PathLike, np.ndarray)):
            image = as_image(images)
            (people,) = self._find([image])
            return replace(people, image=image if isinstance(images, np.ndarray) else str(images))
        return self._detect_all(images)

    def _detect_all(self, images: Iterable[ImageLike]) -> Iterator[People]:
        read = ((image, as_image(image)) for image in images)
        batched = map_batched(
            lambda batch: self._find([pixels for _, pixels in batch]),
            read,
            lambda pair: pair[1].shape,
            self._batch_size,
            self.network.ahead,
        )
        for (image, _), people in batched:
            kept = None if isinstance(image, np.ndarray) else str(image)
            yield replace(people, image=kept)

    def _find(self, images: Sequence[Any]) -> list[People]:
        return [people[people.scores >= self._score_thr] for people in self.network(images)]

    def embed(self, image: ImageLike, boxes: np.ndarray | Sequence) -> np.ndarray:
        """Embeddings (n, D) float32 of unit norm of people whose boxes (n, 4) xyxy are known.

        Raises:
            ValueError: A box is empty or outside the image.
        """
        return self._described(image, boxes).embeddings

    def _described(self, image: ImageLike, boxes: np.ndarray | Sequence) -> People:
        pixels = as_image(image)
        checked = [check_box(box, pixels) for box in boxes]
        given = np.array(checked, np.float32).reshape(-1, 4)
        (people,) = self.network([pixels], [given])
        return people

    def index(
        self,
        sources: str | os.PathLike | Iterable[str | os.PathLike],
        gallery: Gallery | str | os.PathLike,
        *,
        fps: float | None = None,
        camera: str | None = None,
        name_pattern: str | None = None,
        start_time: float | None = None,
        file_times: bool = False,
        metadata: Mapping[str, str | int | float | bool] | None = None,
        max_pixels: int = MAX_PIXELS,
        shard: tuple[int, int] = (0, 1),
        progress: bool = True,
        watch: float | None = None,
        stop: threading.Event | None = None,
    ) -> IndexReport:
        """Find the people in images and videos, and add them to a gallery.

        What is there already is passed over, so that the same call goes on where an interrupted one
        stopped. Broken files and frames are left out and listed in the report.

        Streams and cameras are indexed as they come, after all files, with the time of arrival,
        until ``stop`` is set. A connection that is lost is taken up again.

        Args:
            sources: Images, videos and folders of them; streams, ``rtsp://`` and ``http(s)://``;
                cameras, ``/dev/video0``.
            gallery: A gallery, or the address of one, which is made if it is missing.
            fps: Frames per second to take of videos; None: every frame.
            camera: Which camera took everything.
            name_pattern: Regular expression for camera and time in the names of files; see
                :class:`~mmps.sources.provenance.Provenance`, also for the next two.
            start_time: When the videos began, seconds since the epoch (UTC).
            file_times: Whether the times of files count where nothing better is known.
            metadata: To attach to everything.
            max_pixels: Larger images and videos are left out.
            shard: Number of this process, and how many share the work.
            progress: Whether to show it on the terminal.
            watch: Seconds between two looks for new files that have stopped growing, until ``stop``
                is set; None: one look.
            stop: Set, from another thread or by a signal, to end what has no end. What was read
                until then is stored.

        Raises:
            UserError: The gallery is of another model or damaged, the pattern fits nothing, or
                sources do not go together.
        """
        if isinstance(sources, (str, os.PathLike)):
            sources = [sources]
        live, sources = _live_apart(sources, watch, shard)
        rank, ranks = shard
        provenance = Provenance(camera, name_pattern, start_time, file_times, metadata or {})
        reading = Reading(fps, provenance, rank=rank, ranks=ranks, max_pixels=max_pixels)
        stop = stop or threading.Event()
        problems: list[Problem] = []
        passed_over: Counter[str] = Counter()

        @cache
        def indexer() -> Indexer:  # nor is a gallery made for nothing
            opened = self._open(gallery, create=True)
            network = self.network, self._find, self._batch_size
            return Indexer(*network, opened, reading, progress, stop)

        report = IndexReport(0, 0, 0, (), 0.0)
        looks = [sources] if watch is None else new_files(sources, stop, watch, problems.append)
        for look in filter(None, looks):
            files = find_files(look, problems.append, passed_over)
            if files and not report.frames + report.known:
                indexer()  # which says what is wrong with the gallery first
                provenance.check(files)
            if files:
                report += indexer().files(files, problems)
        if live:
            indexer()
            provenance.check([absolute(address) for address in live])
            report += indexer().live(live)
        return report + IndexReport(0, 0, 0, tuple(problems), 0.0, passed_over)

    def query(self, image: ImageLike, box: Sequence[float] | Whole | None = None) -> Query:
        """The person to search for.

        Args:
            image: A path or an array (h, w, 3) uint8 BGR.
            box: (4,) xyxy of the person; None: there is one person in it. ``'whole'``: the image is
                a person cut out, and is made as large as people are in scenes.

        Raises:
            AmbiguousQueryError: There is nobody, or there are several; the message lists them.
            ValueError: The box is empty or outside the image.
        """
        pixels = as_image(image)
        kept = pixels if isinstance(image, np.ndarray) else absolute(image)
        if isinstance(box, str):
            if box != 'whole':
                raise ValueError(f"box {box!r}: give four numbers, or 'whole'")
            scene, place = as_scene(pixels, self.network.scene_size)
            whole = np.array([0, 0, *pixels.shape[1::-1]], np.float32)
            return Query(kept, whole, self.embed(scene, [place])[0])
        if box is not None:
            people = self._described(pixels, [box])
            filters = people.scene_filters
            scene_filter = None if filters is None else filters[0]
            return Query(kept, people.bboxes[0], people.embeddings[0], scene_filter)
        people = replace(self.detect(pixels), image=kept)
        name = 'the query image' if isinstance(image, np.ndarray) else str(image)
        if not len(people):
            raise AmbiguousQueryError(
                f'nobody was found in {name}; give the box of the person, x1,y1,x2,y2 in pixels',
                people,
            )
        if len(people) > 1:
            raise AmbiguousQueryError(
                f'{len(people)} people are in {name}; give the box of one of them:\n'
                f'{people.describe()}',
                people,
            )
        if people.scene is not None:  # what somebody looks for in scenes is known of given boxes
            return self.query(image, people.bboxes[0])
        return Query(kept, people.bboxes[0], people.embeddings[0])

    def search(
        self,
        query_image: ImageLike | Query | list[ImageLike | Query],
        box: Sequence[float] | Whole | None = None,
        top_k: int = 20,
        where: Where | None = None,
        *,
        gallery: Gallery | str | os.PathLike,
        approximate: bool = False,
        wrong: Sequence[ImageLike | Query] = (),
        min_similarity: float | None = None,
        other_scenes: bool = False,
        per_frame: bool = False,
        scene_weighting: bool = True,
    ) -> SearchResult:
        """Find a person again.

        Args:
            query_image: Image that the person is in, a path or an array (h, w, 3) uint8 BGR; or
                what :meth:`query` made. A list: several pictures of one person, whose embeddings
                are combined (:func:`mmps.retrieval.refined_query`); the first one is drawn.
            box: Of the person in a single image, as for :meth:`query`.
            top_k: How many people to find at most.
            where: Search only among those that pass.
            gallery: A gallery, or the address of one.
            approximate: Use the gallery's index, see :meth:`mmps.retrieval.Gallery.search`.
            wrong: Images of people, or queries, who are not meant though they look alike.
            min_similarity: Leave out who looks less similar.
            other_scenes: Leave out the images that the person was given in.
            per_frame: Find people in single frames instead of appearances.
            scene_weighting: Multiply similarities by the factors of scenes, as the evaluation does,
                where model and gallery have scenes and all pictures are whole ones. Hits are then
                not judged: a calibration is of similarities alone.

        Raises:
            AmbiguousQueryError: See :meth:`query`.
            ValueError: A box for several images; or pictures that cancel out.
            UserError: The gallery is missing, damaged or of another model.
        """
        gallery = self._open(gallery, create=False)
        images = query_image if isinstance(query_image, list) else [query_image]
        if box is not None and len(images) != 1:
            raise ValueError(
                'search: a box is of one image; make a query of each: .query(image, box)'
            )
        queries, others = (
            [one if isinstance(one, Query) else self.query(one, box) for one in many]
            for many in (images, wrong)
        )
        calibration = gallery.calibration  # what is wrong with it is known before the search
        rows = [np.array([one.embedding for one in many]) for many in (queries, others)]
        query = replace(queries[0], embedding=refined_query(rows[0], wrong=rows[1]))
        scenes = {one.image for one in queries if other_scenes and isinstance(one.image, str)}
        left_out = {p.id for scene in scenes for p in gallery.people_in(scene, 0)}
        filters = [one.scene_filter for one in queries if one.scene_filter is not None]
        weighted = scene_weighting and len(filters) == len(queries) and gallery.model.scene_dim > 0
        asked = (query.embedding[None], top_k + len(left_out), where, approximate)
        asked += (np.stack(filters)[None],) if weighted else ()
        least = -np.inf if min_similarity is None else min_similarity
        appearances: list[Appearance] = []
        if per_frame:
            (hits,) = gallery.search(*asked)
            hits = [hit for hit in hits if hit.id not in left_out and hit.similarity >= least]
        else:
            (found,) = gallery.appearances(*asked)
            found = [one for one in found if one.similarity >= least]
            appearances = [one for one in found if one.hit.id not in left_out][:top_k]
            hits = [one.hit for one in appearances]
        hits = hits[:top_k]
        judgement = None
        # What strangers look like was learned with single pictures.
        if calibration is not None and len(queries) == 1 and not others and not weighted:
            judgement = Judgement.of(calibration, hits, gallery, where)
        used = approximate and not weighted and gallery.has_index
        return SearchResult(query, hits, gallery, where, judgement, appearances, used)

    def calibrate(
        self,
        gallery: Gallery | str | os.PathLike,
        *,
        marks: Sequence[str | os.PathLike] = (),
        labelled: tuple[SearchAnnotations, SearchPredictions] | None = None,
    ) -> Calibration:
        """Learn how similar strangers look; searches of the gallery then say so of each hit.

        Without further arguments people in one frame are the strangers. See docs/calibration.md.

        Args:
            gallery: A gallery, or the address of one; the calibration is kept beside it.
            marks: Files ``hits.json`` with marks, as the page saves them, each of a search for
                another person.
            labelled: Ground truth of a data set, and what this model found there.

        Raises:
            UserError: There is too little to count, or something is of another model.
        """
        opened = self._open(gallery, create=False)
        if labelled is not None and marks:
            raise ValueError('calibrate: give marks or a labelled data set, not both')
        if labelled is None:
            calibration = opened.calibrate(marks)
        else:
            calibration = calibrate_labelled(*labelled, self.tag, self._score_thr)
        if not opened.keep_calibration(calibration) and opened is not gallery:
            raise UserError(
                f'{gallery} has no folder to keep a calibration in; give a Gallery, which has it '
                'as long as it lives, or write it to a file with calibrate.py --out'
            )
        return calibration

    def _open(self, gallery: Gallery | str | os.PathLike, *, create: bool) -> Gallery:
        if not isinstance(gallery, Gallery):
            return Gallery.open(gallery, self.tag, create=create)
        check_model('the gallery', gallery.model, self.tag, 'index its sources again')
        return gallery


def _live_apart(
    sources: Iterable[str | os.PathLike], watch: float | None, shard: tuple[int, int]
) -> tuple[list[str], list[str | os.PathLike]]:
    """Streams and cameras, each once and only those of this process, and the other sources."""
    sources = list(sources)
    others = [source for source in sources if not is_live(source)]
    live = list(dict.fromkeys(os.fspath(source) for source in sources if is_live(source)))
    names = [absolute(address) for address in live]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f'two streams are called {twice}; index them with two commands')
    if watch is not None and not watch > 0:
        raise UserError(f'watch={watch}: the seconds between two looks must be positive')
    if watch is not None and live:
        raise UserError('streams and folders that are watched take two commands, of one gallery')
    if watch is not None and shard[1] > 1:
        raise UserError('several processes cannot watch the same folders; give each its own')
    return live[shard[0] :: shard[1]], others
