"""What the page does, without the page."""

import json
import threading
from collections.abc import Collection, Sequence
from dataclasses import replace

import cv2
import numpy as np

from mmps.apis import People, PersonSearcher, Query, SearchResult
from mmps.apis.judgement import Judgement
from mmps.retrieval import Appearance, Gallery, refined_query
from mmps.sources import MAX_PIXELS, check_header, decode_image
from mmps.web.case import pack_case, read_case
from mmps.web.report import write_report
from mmps.web.scenes import LONGEST_SIDE, Scenes, cut_out, hit_name, to_jpeg
from mmps.web.session import Edges, Exemplar, Marks, Picture, Session

_NEAR = 0.6
BARS = 10_000
"""Appearances of a timeline, at most."""


class SearchService:
    """People searched for in one gallery by any number of users at once.

    Methods take a :class:`Session` and return what it has become. Files are only ever opened by
    the id that a person or frame has in the gallery.

    Example:
        >>> from mmps.testing.search import tiny_gallery, tiny_searcher
        >>> service = SearchService(tiny_searcher(), tiny_gallery())
        >>> black = to_jpeg(np.zeros((150, 50, 3), np.uint8), LONGEST_SIDE)
        >>> session = service.search(service.open_picture(Session(top_k=2), black, 'me.jpg'))
        >>> [hit.source for hit in session.hits]
        ['door.mp4', 'hall.mp4']

    Args:
        searcher: The model; one picture goes through it at a time.
        gallery: Where to search.
        max_pixels: Larger pictures are refused.
        recurring: Whether users may see who appears often.
    """

    def __init__(
        self,
        searcher: PersonSearcher,
        gallery: Gallery,
        max_pixels: int = MAX_PIXELS,
        *,
        recurring: bool = False,
    ) -> None:
        self.gallery = gallery
        self.scenes = Scenes(gallery)
        self.max_pixels = max_pixels
        self.recurring = recurring
        self._searcher = searcher
        self._model = threading.Lock()

    def check_picture(self, content: bytes) -> None:
        """Raise `ValueError` where a picture is no image, cut short or too large; not decoded."""
        check_header(content, self.max_pixels)

    def open_picture(self, session: Session, content: bytes, name: str) -> Session:
        """Find the people in an image file of the user's; if it is one, choose them.

        Raises:
            ValueError: It is no image, cut short or too large.
        """
        with self._model:
            image = decode_image(content, self.max_pixels)
            people = self._searcher.detect(image)
        return self._show(session, image, people, name)

    def open_frame(self, session: Session, frame_id: int) -> Session:
        """The same with a scene of the gallery, whose people are known.

        Raises:
            KeyError: There is no such frame.
            GoneError: Its file is not there any more.
        """
        image, hits, name = self.scenes.frame(frame_id)
        people = People(
            np.array([hit.bbox for hit in hits], np.float32).reshape(-1, 4),
            np.array([hit.score for hit in hits], np.float32),
            self.gallery.embeddings_of([hit.id for hit in hits]),
        )
        return self._show(session, image, people, name)

    def _show(self, session: Session, image: np.ndarray, people: People, name: str) -> Session:
        people = replace(people, image=None)
        picture = Picture(to_jpeg(image, LONGEST_SIDE), image.shape[1::-1], people, name)
        session = replace(session, picture=picture, chosen=None)
        if len(people) == 1 and not session.exemplars:
            return self.choose(session, 0, add=False)
        return session

    def choose(self, session: Session, person: int, add: bool, unlike: bool = False) -> Session:
        """Search for a person of the picture, or see that they do not match.

        ``add`` and ``unlike`` are as for :meth:`Session.searching_for`.

        Raises:
            ValueError: There is no picture, or nobody of that number in it.
        """
        picture = session.picture
        if picture is None or not 0 <= person < len(picture.people):
            raise ValueError('this person is not in the picture any more; choose again')
        shown = cv2.imdecode(np.frombuffer(picture.jpeg, np.uint8), cv2.IMREAD_COLOR)
        scale = shown.shape[1] / picture.size[0]
        cut, bbox = cut_out(shown, picture.people.bboxes[person] * scale)
        exemplar = Exemplar(picture.people.embeddings[person], cut, bbox, picture.name)
        session = replace(session, chosen=person)
        return self.search(session.searching_for(exemplar, add, unlike))

    def choose_box(
        self, session: Session, edges: Edges, add: bool, unlike: bool = False
    ) -> Session:
        """Search for whoever is in a part of the picture, or for the picture as a whole.

        What is looked at is the picture as it is shown, which has 1600 pixels at most. Whoever
        takes more than 0.6 of its height is nearer than people are in scenes, and is cut out.

        Raises:
            ValueError: There is no picture, or this is no part of it.
        """
        picture = session.picture
        if picture is None:
            raise ValueError('the picture is not there any more; choose it again')
        shown = cv2.imdecode(np.frombuffer(picture.jpeg, np.uint8), cv2.IMREAD_COLOR)
        bbox = np.array(edges, np.float64) * np.tile(shown.shape[1::-1], 2)
        left, top, right, bottom = np.round(bbox).astype(int)
        with self._model:
            if edges[3] - edges[1] > _NEAR and right > left:
                query = self._searcher.query(shown[top:bottom, left:right], 'whole')
            else:
                query = self._searcher.query(shown, bbox)
        cut, bbox = cut_out(shown, bbox)
        exemplar = Exemplar(query.embedding, cut, bbox, picture.name)
        session = replace(session, chosen=tuple(edges))
        return self.search(session.searching_for(exemplar, add, unlike))

    def choose_hit(self, session: Session, hit_id: int, add: bool, unlike: bool = False) -> Session:
        """Search for somebody who is in the gallery.

        Raises:
            KeyError: They are not in it any more.
        """
        (hit,) = self.gallery.hits_of([hit_id])
        embedding = self.gallery.embeddings_of([hit_id])[0]
        scene = self.scenes.pixels(hit)
        cut, bbox = (None, np.array(hit.bbox)) if scene is None else cut_out(scene, hit.bbox)
        exemplar = Exemplar(embedding, cut, bbox, hit_name(hit))
        session = replace(session, chosen=None)
        return self.search(session.searching_for(exemplar, add, unlike))

    def search(self, session: Session) -> Session:
        """Search for whoever is chosen, as far as the filter lets pass.

        Hits that were marked wrong are left out.
        """
        if session.problem or not session.exemplars:
            return replace(session, appearances=())
        marks, counted = session.marks, session.counted
        there = self._still_there({*marks.right, *marks.wrong, *counted.right, *counted.wrong})
        session = replace(session, marks=marks.among(there), counted=counted.among(there))
        wrong = {one.id for one in self.gallery.appearances_of(session.counted.wrong)}
        (found,) = self.gallery.appearances(
            self.embedding(session)[None], session.top_k + len(wrong), session.where
        )
        kept = [_light(one) for one in found if one.id not in wrong][: session.top_k]
        marks = self._as_shown(session.marks, kept)
        return replace(session, marks=marks, appearances=tuple(kept))

    def _as_shown(self, marks: Marks, shown: Sequence[Appearance]) -> Marks:
        """Marks of the hits that now stand for the same appearances: other pictures may do."""
        hits = {one.id: one.hit.id for one in shown}
        right, wrong = (
            dict.fromkeys(
                hits.get(one.id, hit)
                for hit, one in zip(ids, self.gallery.appearances_of(ids), strict=True)
            )
            for ids in (marks.right, marks.wrong)
        )
        return Marks(tuple(right), tuple(wrong))

    def overview(self, session: Session) -> list[Appearance]:
        """Whoever looks most like the person at any time: what a timeline shows."""
        if not session.exemplars or session.problem:
            return []
        where = replace(session.where, since=None, until=None)
        return self.gallery.appearances(self.embedding(session)[None], BARS, where)[0]

    def right_appearances(self, session: Session) -> set[int]:
        """Ids of the appearances that are marked right, here or in the case."""
        marked = self._still_there({*session.marks.right, *session.case.marks.right})
        return {one.id for one in self.gallery.appearances_of(sorted(marked))}

    def add_to_case(self, session: Session, title: str | None, notes: str | None) -> Session:
        """Put what is searched for, and what is marked, into the case.

        Raises:
            ValueError: There is nothing to put into it, or too much.
        """
        if not session.exemplars:
            raise ValueError('search for somebody first')
        case = session.case.written(title, notes).with_search(session)
        return replace(session, case=case)

    def open_case(self, session: Session, content: bytes) -> Session:
        """Go on with a case from a file: its pictures are searched for, its marks shown.

        Raises:
            ValueError: It is none, or was made with another model.
        """
        case = read_case(content, self.gallery, self.max_pixels)
        session = replace(session.opening(add=False), case=case)
        session = replace(session, exemplars=case.exemplars, lookalikes=case.lookalikes)
        return self.search(replace(session, marks=case.marks))

    def save_case(self, session: Session) -> tuple[bytes, bytes]:
        """The case of a session as files: JSON to be opened again, and a report in HTML.

        Raises:
            ValueError: The case is empty.
        """
        case = session.case
        if not case.exemplars:
            raise ValueError('the case is empty; add a search to it first')
        marked = {*case.marks.right, *case.marks.wrong}
        there = self._still_there(marked)
        shown = replace(case, marks=case.marks.among(there))
        report = write_report(shown, len(marked - there), self.gallery, self.scenes)
        return pack_case(case, self.gallery), report

    def judgement(self, session: Session) -> Judgement | None:
        """How likely the hits are to be strangers; None where the gallery is not calibrated.

        Calibrations are of single pictures: of several, lookalikes or marks nothing is said.
        """
        if not session.exemplars or _refined(session) or session.problem:
            return None
        return Judgement.of(self.gallery.calibration, session.hits, self.gallery, session.where)

    def embedding(self, session: Session) -> np.ndarray:
        """(D,) float32 of unit norm: what is searched for; see :func:`refined_query`."""
        wrong = self.gallery.embeddings_of(session.counted.wrong)
        return refined_query(
            np.stack([exemplar.embedding for exemplar in session.exemplars]),
            self.gallery.embeddings_of(session.counted.right),
            np.array([*wrong, *(one.embedding for one in session.lookalikes)]),
        )

    def _still_there(self, ids: Collection[int]) -> set[int]:
        """Those whom nobody has deleted in the meantime."""
        there = set()
        for each in ids:
            try:
                self.gallery.hits_of([each])
            except KeyError:
                continue
            there.add(each)
        return there

    def export(self, session: Session, blur_others: bool) -> tuple[bytes, bytes]:
        """What was found, as files: JSON, and a sheet in PNG, where others may be unrecognisable.

        Raises:
            ValueError: Nothing was searched for, or the filter cannot be applied.
        """
        if session.problem:
            raise ValueError(session.problem)
        if not session.exemplars:
            raise ValueError('search for somebody first')
        first = session.exemplars[0]
        cut, bbox = first.cut, first.bbox
        if cut is None:
            cut, bbox = np.full((2, 1, 3), 255, np.uint8), np.array([0, 0, 1, 2])
        query = Query(cut, np.asarray(bbox, np.float32), self.embedding(session))
        judgement = self.judgement(session)
        result = SearchResult(
            query, session.hits, self.gallery, session.where, judgement, session.appearances
        )
        content = json.loads(result.to_json())
        content['query'] = dict(
            people=[exemplar.name for exemplar in session.exemplars],
            lookalikes=[one.name for one in session.lookalikes],
            right=[str(number) for number in session.marks.right],
            wrong=[str(number) for number in session.marks.wrong],
        )
        # what marks are judged by
        content['searched'] = self.gallery.count(session.where)
        content['refined'] = _refined(session)
        sheet = np.asarray(result.plot(blur_others=blur_others).convert('RGB'))[..., ::-1]
        return json.dumps(content, indent=2).encode(), cv2.imencode('.png', sheet)[1].tobytes()


def _light(appearance: Appearance) -> Appearance:
    """Without the embedding: searches are kept for hours."""
    return replace(appearance, embedding=np.zeros(0, np.float32))


def _refined(session: Session) -> bool:
    """Whether hits are ranked by more than one picture."""
    pictures = len(session.exemplars) + len(session.lookalikes)
    return pictures > 1 or session.counted != Marks()
