"""Processes that change a gallery at once and say what is done, to be killed at any moment.

``python -m helpers.gallery_writer ADDRESS SEED WRITER`` goes through an endless history that
follows from the seed, from where the gallery stands, and prints each change before it begins and
when it is acknowledged. ``... ADDRESS --kills 20`` kills four such processes at
once so many times, and checks after each time what is there.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
from helpers.galleries import model_tag

from mmps.retrieval import Gallery, IndexedFrame, Where

DIM = 16
FRAMES = 8
"""Frames appended at a time."""
SHARED = ('shared0', 'shared1', 'shared2')
"""Sources that all writers write, and nobody deletes; others are of one writer."""


def batch_of(source: str, writer: int) -> list[IndexedFrame]:
    """The frames of a source as a writer writes them: of other sizes and boxes than others do."""
    number = int(''.join(c for c in source if c.isdigit()))
    frames = []
    for frame in range(FRAMES):
        people = (number + frame + writer) % 4
        embeddings = np.zeros((people, DIM), np.float32)
        embeddings[np.arange(people), (number + np.arange(people)) % DIM] = 1
        boxes, scores = np.full((people, 4), writer), np.ones(people)
        frames.append(IndexedFrame(source, (9, 9), boxes, scores, embeddings, frame))
    return frames


def history(address: str, seed: int, writer: int) -> None:
    """Append, replace, delete and compact, without end."""
    gallery = Gallery.open(address, model_tag(DIM))
    rng = random.Random(f'{seed} {writer}')
    mine = {source for source, _ in gallery.known() if source.startswith(f'writer{writer}-')}
    number = 1 + max((int(source.rpartition('-')[2]) for source in mine), default=-1)
    while True:
        kind = rng.choices(['append', 'replace', 'delete', 'compact'], [6, 2, 2, 1])[0]
        target = rng.choice([*sorted(mine), *SHARED])
        if kind == 'append' or (kind == 'delete' and target in SHARED):
            kind, target = 'append', f'writer{writer}-{number}'
            number += 1
        print('begin', kind, target, flush=True)
        if kind in ('append', 'replace'):
            gallery.append(batch_of(target, writer))
            mine |= {target} - set(SHARED)
        elif kind == 'delete':
            gallery.delete(Where(sources=[target]))
            mine.remove(target)
        else:
            gallery.compact()
        print('end', kind, target, flush=True)


class KilledHistory:
    """A gallery whose writers are killed, and what has to be in it.

    Args:
        address: A new gallery.
        writers: How many processes write at once.
    """

    def __init__(self, address: str, writers: int = 4) -> None:
        self.address = address
        self.writers = writers
        self.sources: set[str] = set()
        self.changes: Counter[str] = Counter()

    def kill(self, seconds: float, seed: int) -> str:
        """Let writers begin, kill them, and check what they left.

        Args:
            seconds: How long after the first change of the last one began.
            seed: Of their histories.

        Returns:
            What they were doing.

        Raises:
            AssertionError: Something acknowledged is lost, doubled or half there.
        """
        environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)}
        command = [sys.executable, '-m', 'helpers.gallery_writer', self.address, str(seed)]
        processes = [
            subprocess.Popen(
                [*command, str(writer)], stdout=subprocess.PIPE, text=True, env=environment
            )
            for writer in range(self.writers)
        ]
        first = [process.stdout.readline() for process in processes]
        time.sleep(seconds)
        for process in processes:
            os.kill(process.pid, signal.SIGKILL)
        pending = []
        for process, line in zip(processes, first, strict=True):
            lines = [line, *process.stdout.readlines()]
            assert process.wait() == -signal.SIGKILL and line, 'a writer ended by itself'
            process.stdout.close()
            pending.append(self._follow(lines))
        self.check(pending)
        return ', '.join(kind for kind, _ in pending)

    def check(self, pending: list[tuple[str, str]]) -> None:
        """Compare the gallery with what has to be in it; what was pending may be done or not."""
        gallery = Gallery.open(self.address)
        known = gallery.known()
        sources = {source for source, _ in known}
        for kind, target in pending:
            if target and (target in sources) != (target in self.sources):
                self._enter(kind, target)
        assert sources == self.sources, (sources ^ self.sources, pending)
        expected = {(source, frame) for source in sources for frame in range(FRAMES)}
        assert known == expected, known ^ expected
        found: dict[str, list] = {source: [] for source in sources}
        for hit in gallery.search(np.eye(DIM, dtype=np.float32)[0], 10**6)[0]:
            found[hit.source].append((hit.frame, *hit.bbox))
        for source, people in found.items():
            owners = range(self.writers) if source in SHARED else [int(source[6])]
            written = [
                [(f.frame, *box) for f in batch_of(source, writer) for box in f.bboxes.tolist()]
                for writer in owners
            ]
            assert sorted(people) in written, f'{source} is there in part, twice or mixed'

    def _follow(self, lines: list[str]) -> tuple[str, str]:
        """Enter the changes that a writer was told of; what it was in the middle of."""
        pending = ('nothing', '')
        for line in lines:
            if line.endswith('\n'):
                state, kind, target = line[:-1].split(' ')
                pending = (kind, target) if state == 'begin' else ('nothing', '')
                if state == 'end':
                    self._enter(kind, target)
                    self.changes[kind] += 1
        return pending

    def _enter(self, kind: str, target: str) -> None:
        if kind in ('append', 'replace'):
            self.sources.add(target)
        elif kind == 'delete':
            self.sources.discard(target)


def main(address: str, option: str, number: str) -> None:
    """As the module's docstring says."""
    if option != '--kills':
        history(address, int(option), int(number))
    killed = KilledHistory(address)
    rng = random.Random(0)
    for seed in range(int(number)):
        delay = rng.uniform(0, 3)
        print(f'kill {seed + 1} after {delay:.2f} s: {killed.kill(delay, seed)}', flush=True)
    print(f'{dict(killed.changes)}: nothing lost, nothing doubled, no frame mixed')


if __name__ == '__main__':
    main(*sys.argv[1:])
