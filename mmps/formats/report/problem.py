"""What can be wrong with a data set, and where it was found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice
from typing import Any


class Severity(IntEnum):
    """How bad a problem is, the worst first."""

    ERROR = 0
    """Training or evaluation stops there, or gives a number that means nothing."""
    WARNING = 1
    """Probably a mistake of whoever annotated or converted the data."""
    NOTE = 2
    """Worth knowing; found in the field's own data sets as well."""


KINDS: dict[str, tuple[Severity, str]] = {
    'image file missing': (Severity.ERROR, 'training and evaluation stop; unpack the images again'),
    'image damaged': (Severity.ERROR, 'truncated or no image; fetch or unpack it again'),
    'box outside the image': (Severity.ERROR, 'shows nothing; wrong scale, order or image'),
    'query without a positive': (Severity.WARNING, 'nobody to find: left out of the means'),
    'box reaching out of the image': (Severity.WARNING, 'part of it shows nothing'),
    'box without area': (Severity.WARNING, 'left out of training and evaluation'),
    'box listed twice': (Severity.WARNING, 'one of the two can never be found'),
    'identity twice in an image': (Severity.WARNING, 'only the first box counts as a positive'),
    'query box not annotated': (Severity.WARNING, 'no box of its image has these coordinates'),
    'query annotated as somebody else': (Severity.WARNING, 'its box has another id in its image'),
    'query listed twice': (Severity.WARNING, 'counts twice in every average'),
    'image repeated in a gallery': (Severity.WARNING, 'its people count twice, or cannot be found'),
    'own image in the gallery': (Severity.WARNING, 'the query finds itself'),
    'positive not annotated': (Severity.WARNING, 'no box of its image has these coordinates'),
    'person in a gallery image not marked': (Severity.WARNING, 'finding them counts as wrong'),
    'identity in one image': (Severity.NOTE, 'nothing to compare with'),
    'identity seen by one camera': (Severity.NOTE, 'teaches nothing about change of camera'),
    'identity of both splits': (Severity.NOTE, 'the same number in training and test'),
    'image without people': (Severity.NOTE, 'teaches and tests detection only'),
    'image of another size': (Severity.NOTE, 'nearly all others of this camera have one size'),
    'image turned by EXIF': (Severity.NOTE, 'boxes have to fit the picture as it is displayed'),
}
"""Severity and consequence of each kind of problem, in the order of a report."""

EXAMPLES = 5
"""Cases of a problem that are spelt out."""


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

    @classmethod
    def of(cls, kind: str, split: str, cases: Iterable[str], count: int | None = None) -> Problem:
        """The problem with these cases; ``count`` where ``cases`` are only the first of them."""
        cases = iter(cases)
        examples = tuple(islice(cases, EXAMPLES))
        return cls(
            kind, split, len(examples) + sum(1 for _ in cases) if count is None else count, examples
        )

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return KINDS[self.kind][0]

    @property
    def consequence(self) -> str:
        """What follows from it."""
        return KINDS[self.kind][1]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return dict(
            kind=self.kind,
            severity=self.severity.name.lower(),
            split=self.split,
            count=self.count,
            consequence=self.consequence,
            examples=list(self.examples),
        )
