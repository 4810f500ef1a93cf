"""What came of indexing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from mmps.sources import Problem, counted


@dataclass(frozen=True)
class IndexReport:
    """What came of indexing.

    Attributes:
        frames: Images and frames of videos that were added, those without people included.
        people: People found in them.
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
            f'{self.frames} images added in {self.seconds:.0f} s{rate}, {self.people} people'
            + (f'; {self.known} were there already' if self.known else '')
        ]
        if self.passed_over:
            lines.append(f'passed over: {counted(self.passed_over)}')
        if self.problems:
            lines.append(f'{len(self.problems)} problems, what they concern was left out:')
            lines += [f'  {problem}' for problem in self.problems]
        return '\n'.join(lines)
