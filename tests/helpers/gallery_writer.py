"""A process that changes a gallery and says what is done, to be killed at any moment.

``python -m helpers.gallery_writer ADDRESS SEED`` goes through an endless history that follows
from the seed, from where the gallery stands, and prints each change before it begins and when it is
acknowledged.
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


def batch_of(number: int) -> list[IndexedFrame]:
    """The frames of batch ``number``, each with its own number of people, some with none."""
    frames = []
    for frame in range(FRAMES):
        people = (number + frame) % 4
        embeddings = np.zeros((people, DIM), np.float32)
        embeddings[np.arange(people), (number + np.arange(people)) % DIM] = 1
        boxes, scores = np.full((people, 4), number), np.ones(people)
        frames.append(IndexedFrame(f's{number}', (9, 9), boxes, scores, embeddings, frame))
    return frames


def history(address: str, seed: int) -> None:
    """Append, replace, delete and compact, without end."""
    gallery = Gallery.open(address, model_tag(DIM))
    rng = random.Random(seed)
    number = 1 + max((int(source[1:]) for source, _ in gallery.known()), default=-1)
    while True:
        there = sorted({source for source, _ in gallery.known()})
        kind = rng.choices(['append', 'replace', 'delete', 'compact'], [6, 2, 2, 1])[0]
        target = rng.choice(there) if there else ''
        if kind == 'append' or not there:
            kind, target = 'append', f's{number}'
            number += 1
        print('begin', kind, target, flush=True)
        if kind in ('append', 'replace'):
            gallery.append(batch_of(int(target[1:])))
        elif kind == 'delete':
            gallery.delete(Where(sources=[target]))
        else:
            gallery.compact()
        print('end', kind, target, flush=True)


class KilledHistory:
    """A gallery whose writers are killed, and what has to be in it.

    Args:
        address: A new gallery.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.sources: set[str] = set()

    def kill(self, seconds: float, seed: int) -> str:
        """Let a writer begin, kill it, and check what it left.

        Args:
            seconds: How long after its first change began.
            seed: Of its history.

        Returns:
            What it was doing.

        Raises:
            AssertionError: Something acknowledged is lost, doubled or half there.
        """
        command = [sys.executable, '-m', 'helpers.gallery_writer', self.address, str(seed)]
        environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)}
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdout=pipe, text=True, env=environment) as writer:
            lines = [writer.stdout.readline()]
            time.sleep(seconds)
            os.kill(writer.pid, signal.SIGKILL)
            lines += writer.stdout.readlines()
        pending = ['nothing', '']
        for line in lines:
            if not line.endswith('\n'):
                continue
            state, kind, target = line[:-1].split(' ')
            pending = [kind, target] if state == 'begin' else ['nothing', '']
            if state == 'end':
                self._enter(kind, target)
        self.check(*pending)
        return f'{" ".join(pending).strip()} after {len(lines) // 2} changes'

    def check(self, kind: str, target: str) -> None:
        """Compare the gallery with what has to be in it; what was pending may be done or not."""
        gallery = Gallery.open(self.address)
        known = gallery.known()
        sources = {source for source, _ in known}
        if kind in ('append', 'delete') and (target in sources) != (target in self.sources):
            self._enter(kind, target)
        assert sources == self.sources, (sources ^ self.sources, kind, target)
        expected = {(source, frame) for source in sources for frame in range(FRAMES)}
        assert known == expected, known ^ expected
        people = Counter()
        for hit in gallery.search(np.eye(DIM, dtype=np.float32)[0], 10**6)[0]:
            people[hit.source, hit.frame] += 1
            assert hit.bbox[0] == int(hit.source[1:])
        for source in sources:
            for frame in batch_of(int(source[1:])):
                assert people[source, frame.frame] == len(frame.scores), (source, frame.frame)

    def _enter(self, kind: str, target: str) -> None:
        if kind in ('append', 'replace'):
            self.sources.add(target)
        elif kind == 'delete':
            self.sources.discard(target)


if __name__ == '__main__':
    history(sys.argv[1], int(sys.argv[2]))
