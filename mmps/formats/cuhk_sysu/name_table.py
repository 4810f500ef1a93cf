"""Image names looked up millions at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_FACTOR = 0x9E3779B97F4A7C15
"""2**64 divided by the golden ratio, which spreads the products of similar numbers."""
_ROOM = 8
_CHUNK = 2**18


class NameTable:
    """A hash table of names: a binary search compares each name a dozen times, this one once.

    Args:
        names: Different from each other.
    """

    def __init__(self, names: Sequence[str]) -> None:
        encoded = np.array([name.encode() for name in names], 'S')
        self._width = -(-encoded.itemsize // 8)
        self._known = self._words(encoded)
        bits = max(1, (_ROOM * len(names)).bit_length())
        self._shift = np.uint64(64 - bits)
        self._slots = np.full(2**bits, -1, np.int32)
        for place, slot in enumerate(self._slots_of(self._known).tolist()):
            while self._slots[slot] >= 0:
                slot = (slot + 1) % len(self._slots)
            self._slots[slot] = place

    def find(self, names: np.ndarray) -> np.ndarray:
        """(n,) int32 position of each of (n,) names in UTF-8, -1 where there is no such name."""
        found = np.empty(len(names), np.int32)
        for start in range(0, len(names), _CHUNK):
            part = names[start : start + _CHUNK]
            found[start : start + _CHUNK] = self._find(self._words(part))
            if part.itemsize > 8 * self._width:  # cut to the longest name there is
                longer = np.char.str_len(part) > 8 * self._width
                found[start : start + _CHUNK][longer] = -1
        return found

    def _find(self, words: np.ndarray) -> np.ndarray:
        found = np.full(len(words), -1, np.int32)
        if not len(self._known):
            return found
        rows, slots = np.arange(len(words)), self._slots_of(words)
        while len(rows):
            places = self._slots[slots]
            same = (self._known[places] == words).all(1) & (places >= 0)
            found[rows[same]] = places[same]
            further = np.flatnonzero(~same & (places >= 0))
            rows, words = rows[further], words[further]
            slots = (slots[further] + 1) % len(self._slots)
        return found

    def _words(self, names: np.ndarray) -> np.ndarray:
        return names.astype(f'S{8 * self._width}').view('<u8').reshape(-1, self._width)

    def _slots_of(self, words: np.ndarray) -> np.ndarray:
        mixed = np.zeros(len(words), np.uint64)
        for column in words.T:
            mixed = (mixed ^ column) * np.uint64(_FACTOR)
            mixed ^= mixed >> np.uint64(32)
        return (mixed * np.uint64(_FACTOR) >> self._shift).astype(np.int64)
