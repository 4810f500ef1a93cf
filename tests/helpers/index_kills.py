"""Kills indexing at random moments, goes on, and compares with one that was left alone.

``PYTHONPATH=tests python -m helpers.index_kills --kills 20`` does it with as many kills as wanted.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from helpers.hashing_network import DIM, HashingNetwork
from helpers.numbered_frames import numbered_frame

from mmps.apis.searcher import PersonSearcher
from mmps.retrieval import Gallery, Hit
from mmps.visualization import write_image, write_video

IMAGES, VIDEO_FRAMES = 40, 80
PAUSE = 0.01
"""Seconds that finding people in an image takes."""
LONGEST = 1.2
"""Seconds after which a kill comes at the latest; about what indexing takes."""
APPEND = 8
"""Images per append, few, so that many kills hit one."""


def write_sources(folder: Path) -> list[Path]:
    """A folder of images and a video."""
    for number in range(IMAGES):
        write_image(folder / 'images' / f'{number:04d}.png', numbered_frame(number))
    write_video(folder / 'v.avi', map(numbered_frame, range(VIDEO_FRAMES)), 25)
    return [folder / 'images', folder / 'v.avi']


def index(address: str, sources: Sequence[str], acknowledged: str) -> None:
    """What is killed: index, and write down every frame after its append has returned."""
    from mmps.apis import indexing

    class Slow(HashingNetwork):
        def __call__(self, images, boxes=None):
            time.sleep(PAUSE * len(images))
            return super().__call__(images, boxes)

    indexing.FRAMES_PER_APPEND = APPEND
    searcher = PersonSearcher.of_network(Slow(), batch_size=2)
    gallery = Gallery.open(address, searcher.tag)
    append = gallery.append

    def noted(frames):
        append(frames)
        with open(acknowledged, 'a') as file:
            file.write(''.join(json.dumps([f.source, f.frame]) + '\n' for f in frames))

    gallery.append = noted
    print('started', flush=True)
    searcher.index(sources, gallery, progress=False)


def content(gallery: Gallery) -> list[tuple]:
    """Everybody in a gallery, in an order that does not depend on how they got there."""
    hits: list[Hit] = gallery.search(np.ones((1, DIM), np.float32), top_k=10**6)[0]
    return sorted(
        (h.id, h.similarity, h.bbox, h.score, h.source, h.frame, h.offset, h.tracklet) for h in hits
    )


def index_with_kills(
    folder: Path, kills: int, rng: random.Random, say: Callable[[str], None] = print
) -> int:
    """Index with so many kills, and check after each one.

    Checked are: everything acknowledged is there; no frame is there in part or twice; nothing that
    was there is gone; in the end the gallery is that of an indexing without kills.

    Args:
        folder: Empty; for everything written.
        kills: How many; a gallery that is complete gives way to a new one.
        rng: Source of the moments.
        say: Told of every kill.

    Returns:
        The number of galleries that became complete.

    Raises:
        AssertionError: A check failed.
    """
    sources = write_sources(folder)
    searcher = PersonSearcher.of_network(HashingNetwork())
    whole = Gallery.open('memory:', searcher.tag)
    searcher.index(sources, whole, progress=False)
    expected, frames = content(whole), whole.known()
    ended = done = 0
    while done < kills or not ended:
        address, notes = str(folder / f'{ended}.lance'), folder / f'{ended}.notes'
        before = Gallery.open(address, searcher.tag).known()
        delay = rng.uniform(0, LONGEST) if done < kills else None
        killed = _run(address, sources, notes, delay)
        gallery = Gallery.open(address, searcher.tag, create=False)
        known = gallery.known()
        lines = notes.read_text().splitlines() if notes.exists() else []
        acknowledged = {tuple(json.loads(line)) for line in lines if line.endswith(']')}
        assert acknowledged <= known <= frames, 'an acknowledged frame is lost'
        assert before <= known, 'a frame is gone'
        of_known = [row for row in expected if (row[4], row[5]) in known]
        assert content(gallery) == of_known, 'a frame is there in part or twice'
        if killed:
            done += 1
            say(f'kill {done}: after {delay:.2f} s, {len(known)} of {len(frames)} frames there')
        else:
            assert known == frames, 'an indexing ended without having everything'
        ended += known == frames
    return ended


def _run(address: str, sources: Sequence[Path], notes: Path, delay: float | None) -> bool:
    """Index in another process, and kill it some seconds after it began; whether that came."""
    call = f'index({address!r}, {[str(s) for s in sources]!r}, {str(notes)!r})'
    process = subprocess.Popen(
        [sys.executable, '-c', f'from helpers.index_kills import index; {call}'],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    try:
        status = process.wait(delay)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
        status = process.wait()
    process.stdout.close()
    assert status in (0, -signal.SIGKILL), f'indexing ended with status {status}'
    return status != 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--kills', type=int, default=20)
    parser.add_argument('--seed', type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ended = index_with_kills(Path(folder), arguments.kills, random.Random(arguments.seed))
    print(f'{arguments.kills} kills, {ended} galleries complete: nothing lost, nothing doubled')


if __name__ == '__main__':
    main()
