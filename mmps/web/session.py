"""What one user of the page is doing; every step makes a new one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

import numpy as np

from mmps.apis import People
from mmps.retrieval import Appearance, Hit, Where

MOST_EXEMPLARS = 20
LONGEST_TITLE, LONGEST_NOTES = 200, 20_000
"""Letters of what users write about a case."""
Edges = tuple[float, float, float, float]
"""Left, top, right and bottom of a box, as shares of a picture's width and height."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture in which a person may be chosen.

    Attributes:
        jpeg: The picture, made smaller where it was large.
        size: Width and height of the original.
        people: Who is in it, in pixels of the original, which is not kept.
        name: For people.
    """

    jpeg: bytes = field(repr=False)
    size: tuple[int, int]
    people: People
    name: str


@dataclass(frozen=True, eq=False)
class Exemplar:
    """A picture of the person who is searched for.

    Attributes:
        embedding: (D,) float32 of unit norm.
        cut: (h, w, 3) uint8 BGR, the person with some surroundings; None where the file is gone.
        bbox: (4,) xyxy of the person in it.
        name: Where it is from.
    """

    embedding: np.ndarray = field(repr=False)
    cut: np.ndarray | None = field(repr=False)
    bbox: np.ndarray
    name: str


@dataclass(frozen=True)
class Marks:
    """Ids of the hits that a user has said to be right or wrong."""

    right: tuple[int, ...] = ()
    wrong: tuple[int, ...] = ()

    def toggled(self, hit: int, verdict: str) -> Marks:
        """With a hit marked ``'right'`` or ``'wrong'``; marked so already, it is not any more."""
        others = self.among({*self.right, *self.wrong} - {hit})
        if hit in getattr(self, verdict):
            return others
        return replace(others, **{verdict: (*getattr(others, verdict), hit)})

    def among(self, ids: Collection[int]) -> Marks:
        """Those of some people only."""
        right, wrong = (tuple(i for i in own if i in ids) for own in (self.right, self.wrong))
        return Marks(right, wrong)


@dataclass(frozen=True, eq=False)
class Case:
    """What somebody has found out about one person.

    Attributes:
        title, notes: Whatever the user writes.
        exemplars: Pictures of the person.
        marks: People of the gallery who are them, and who are not.
        lookalikes: Pictures of others, who must not match.
    """

    title: str = ''
    notes: str = ''
    exemplars: tuple[Exemplar, ...] = ()
    marks: Marks = Marks()
    lookalikes: tuple[Exemplar, ...] = ()

    def with_search(self, session: Session) -> Case:
        """With what a user searches for and has marked; of two marks of one hit the later counts.

        Raises:
            ValueError: There would be too many pictures.
        """
        exemplars = _together(self.exemplars, session.exemplars)
        lookalikes = _together(self.lookalikes, session.lookalikes)
        if max(len(exemplars), len(lookalikes)) > MOST_EXEMPLARS:
            raise ValueError(f'a case holds {MOST_EXEMPLARS} pictures of the person at most')
        marks = self.marks
        for verdict in ('right', 'wrong'):
            for hit in getattr(session.marks, verdict):
                if hit not in getattr(marks, verdict):
                    marks = marks.toggled(hit, verdict)
        return replace(self, exemplars=exemplars, lookalikes=lookalikes, marks=marks)

    def written(self, title: str | None, notes: str | None) -> Case:
        """With what the user has written."""
        title, notes = (title or '').strip(), (notes or '').strip()
        return replace(self, title=title[:LONGEST_TITLE], notes=notes[:LONGEST_NOTES])


def _together(known: tuple[Exemplar, ...], others: tuple[Exemplar, ...]) -> tuple[Exemplar, ...]:
    """With those that are not known yet."""
    there = {one.embedding.tobytes() for one in known}
    return (*known, *(one for one in others if one.embedding.tobytes() not in there))


@dataclass(frozen=True, eq=False)
class Session:
    """State of one user's search.

    Attributes:
        picture: In which people can be chosen.
        opened: How many pictures were opened or refused.
        refusal: Why the last one cannot be used.
        chosen: Number of the one who was, or the box that was drawn around them.
        exemplars: Who is searched for: several pictures are averaged.
        lookalikes: Who must not match, though they look alike.
        marks: As the hits show them.
        counted: Those that searches go by: what is marked counts once it is asked to.
        where: The filter.
        problem: Why the filter that is wanted cannot be applied: nobody is found then.
        top_k: How many hits are wanted.
        appearances: Who was found, best first, without embeddings.
        case: What has been found out so far.
    """

    picture: Picture | None = None
    opened: int = 0
    refusal: str = ''
    chosen: int | Edges | None = None
    exemplars: tuple[Exemplar, ...] = ()
    lookalikes: tuple[Exemplar, ...] = ()
    marks: Marks = Marks()
    counted: Marks = Marks()
    where: Where = Where()
    problem: str = ''
    top_k: int = 20
    appearances: tuple[Appearance, ...] = ()
    case: Case = field(default_factory=Case)

    @property
    def hits(self) -> tuple[Hit, ...]:
        """What stands for each of them."""
        return tuple(one.hit for one in self.appearances)

    def opening(self, add: bool) -> Session:
        """Before another picture is opened: what was found is about the one before, unless pictures
        are being collected.
        """
        session = replace(self, picture=None, opened=self.opened + 1, refusal='', chosen=None)
        return session if add else session._of_nobody()

    def refused(self, name: str, reason: str) -> Session:
        """The picture that was to be opened cannot be used."""
        reason = reason.removeprefix('the image: ').rstrip('.')
        return replace(self, refusal=f'{name} cannot be used: {reason}.')

    def searching_for(self, exemplar: Exemplar, add: bool, unlike: bool = False) -> Session:
        """Search for somebody: instead of who was searched for, or for the mean of both.

        Marks are about a person, so that those of another one are dropped. ``unlike``: the exemplar
        is of somebody else, who must not match.

        Raises:
            ValueError: There are enough pictures, or nobody is searched for whom one is unlike.
        """
        if unlike and not self.exemplars:
            raise ValueError('search for somebody first, and then say who must not match')
        if not add and not unlike:
            return replace(self._of_nobody(), chosen=self.chosen, exemplars=(exemplar,))
        kind = 'lookalikes' if unlike else 'exemplars'
        if len(getattr(self, kind)) >= MOST_EXEMPLARS:
            raise ValueError(f'{MOST_EXEMPLARS} pictures of a person are averaged at most')
        return replace(self, **{kind: (*getattr(self, kind), exemplar)})

    def without(self, number: int) -> Session:
        """Leave a picture out: of the exemplars, or counted on from them, of the lookalikes."""
        first = len(self.exemplars)
        exemplars, lookalikes = (
            tuple(e for place, e in enumerate(own, start) if place != number)
            for own, start in ((self.exemplars, 0), (self.lookalikes, first))
        )
        if not exemplars:
            return self._of_nobody()
        return replace(self, exemplars=exemplars, lookalikes=lookalikes)

    def _of_nobody(self) -> Session:
        """With nobody to search for."""
        none = dict.fromkeys(('exemplars', 'lookalikes', 'appearances'), ())
        return replace(self.unmarked(), chosen=None, **none)

    def marked(self, hit: int, verdict: str) -> Session:
        """Mark a hit, see :meth:`Marks.toggled`; searches do not go by it yet."""
        return replace(self, marks=self.marks.toggled(hit, verdict))

    def refined(self) -> Session:
        """Let searches go by the marks."""
        return replace(self, counted=self.marks)

    def unmarked(self) -> Session:
        """Drop all marks."""
        return replace(self, marks=Marks(), counted=Marks())
