"""What a conversion left out or decided by itself, counted."""

from __future__ import annotations


class Tally:
    """Counts remarks, and remembers the first example of each.

    Example:
        >>> tally = Tally()
        >>> tally.add('boxes without area, left out', 'boxes.csv, line 7')
        >>> tally.add('boxes without area, left out', 'boxes.csv, line 9')
        >>> tally.lines()
        ['2 boxes without area, left out (first: boxes.csv, line 7)']
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._first: dict[str, str] = {}

    def add(self, remark: str, example: str, count: int = 1) -> None:
        """Count one more, or ``count`` more, of what ``remark`` describes in the plural."""
        if count:
            self._counts[remark] = self._counts.get(remark, 0) + count
            self._first.setdefault(remark, example)

    def count(self, remark: str) -> int:
        """How often ``remark`` was added."""
        return self._counts.get(remark, 0)

    def lines(self) -> list[str]:
        """One line for each remark."""
        return [
            f'{n} {remark} (first: {self._first[remark]})' for remark, n in self._counts.items()
        ]
