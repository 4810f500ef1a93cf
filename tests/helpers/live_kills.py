"""Indexes two cameras whose connections break, kills the indexing once, and goes on.

``PYTHONPATH=tests python -m helpers.live_kills --minutes 10`` does it for as long as wanted.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from helpers.hashing_network import HashingNetwork

from mmps.apis.searcher import PersonSearcher
from mmps.retrieval import Gallery

PASSWORD = 'S3cretWord'
RATE = 5
_PATIENCE = 180
"""Seconds within which a process starts, or a connection is taken up again, on a busy machine."""


def index(address: str, cameras: list[str], acknowledged: str) -> None:
    """What is killed: index until a signal, and write down every frame after its append."""
    from mmps.apis import indexing

    indexing.SECONDS_PER_APPEND = 1.0
    searcher = PersonSearcher.of_network(HashingNetwork(), batch_size=4)
    gallery = Gallery.open(address, searcher.tag)
    append, page = gallery.append, os.sysconf('SC_PAGE_SIZE') / 2**20

    def noted(frames):
        append(frames)
        memory = int(Path('/proc/self/statm').read_text().split()[1]) * page
        with open(acknowledged, 'a') as file:
            for frame in frames:
                line = [frame.source, frame.frame, len(frame.bboxes), frame.time, memory]
                file.write(json.dumps(line) + '\n')

    gallery.append = noted
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    print('started', flush=True)
    print(searcher.index(cameras, gallery, camera='door', stop=stop), flush=True)


@dataclass
class Camera:
    """A server that can be stopped and started again at the same port."""

    process: subprocess.Popen | None = None
    port: int = 0
    shown: int = 0

    def start(self) -> None:
        command = [
            sys.executable,
            '-m',
            'helpers.stream_server',
            str(self.port),
            '3600',
            str(self.shown),
            str(RATE),
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        self.shown += 100

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    @property
    def address(self) -> str:
        return f'http://viewer:{PASSWORD}@127.0.0.1:{self.port}/cam?channel=1&password={PASSWORD}'


def run(folder: Path, seconds: float, say=print) -> dict[str, float]:
    """Index for so long with three interruptions and one kill, and check what is in the gallery.

    Returns:
        Frames acknowledged, the least per camera, and MiB of memory after a third and at the end.

    Raises:
        AssertionError: A check failed.
    """
    cameras = [Camera(), Camera()]
    for camera in cameras:
        camera.start()
    addresses = [camera.address for camera in cameras]
    gallery, notes = str(folder / 'people.lance'), folder / 'notes'
    begun = time.monotonic()
    indexing = _start(gallery, addresses, notes, folder / 'output0')
    try:
        for what in ('first camera', 'kill', 'second camera', 'both cameras', 'end'):
            _wait_for_news(notes, len(cameras))
            time.sleep(seconds / 5)
            say(f'{time.monotonic() - begun:.0f} s: {what}')
            if what == 'kill':
                indexing.kill()
                indexing.wait()
                indexing = _start(gallery, addresses, notes, folder / 'output1')
            elif what == 'end':
                indexing.terminate()
                assert indexing.wait(120) == 0
            else:
                broken = {'first camera': cameras[:1], 'second camera': cameras[1:]}
                for camera in broken.get(what, cameras):
                    camera.stop()
                time.sleep(min(5.0, seconds / 20))
                for camera in broken.get(what, cameras):
                    camera.start()
    finally:
        indexing.kill()
        for camera in cameras:
            camera.stop()
    return _check(folder, gallery, notes, len(cameras))


def _wait_for_news(notes: Path, cameras: int) -> None:
    """Wait until frames of every camera were acknowledged that had not been."""

    def sources(start: int) -> set[str]:
        lines = notes.read_text().splitlines()[start:] if notes.exists() else []
        return {json.loads(line)[0] for line in lines if line.endswith(']')}

    start = len(notes.read_text().splitlines()) if notes.exists() else 0
    deadline = time.monotonic() + _PATIENCE
    while len(sources(start)) < cameras:
        assert time.monotonic() < deadline, 'no frames come'
        time.sleep(0.1)


def _start(gallery: str, addresses: list[str], notes: Path, output: Path) -> subprocess.Popen:
    call = f'index({gallery!r}, {addresses!r}, {str(notes)!r})'
    code = f'from helpers.live_kills import index; {call}'
    with open(output, 'w') as file:
        return subprocess.Popen([sys.executable, '-c', code], stdout=file, stderr=file)


def _check(folder: Path, address: str, notes: Path, cameras: int) -> dict[str, float]:
    lines = [json.loads(line) for line in notes.read_text().splitlines() if line.endswith(']')]
    frames = [(source, frame) for source, frame, *_ in lines]
    assert len(set(frames)) == len(frames), 'a frame was acknowledged twice'
    gallery = Gallery.open(address, PersonSearcher.of_network(HashingNetwork()).tag, create=False)
    assert set(frames) <= gallery.known(), 'an acknowledged frame is lost'
    for source, frame, people, when, _ in lines[:: max(1, len(lines) // 200)]:
        hits = gallery.people_in(source, frame)
        assert len(hits) == people, 'a frame is there in part or twice'
        assert all((hit.time, hit.camera, hit.offset) == (when, 'door', None) for hit in hits)
        assert frame == int(when * 1000) or frame > when * 1000
    assert sum(people for _, _, people, *_ in lines) <= len(gallery)
    counts = [sum(name == source for name, _ in frames) for source in {name for name, _ in frames}]
    assert len(counts) == cameras
    for file in folder.rglob('*'):
        assert not file.is_file() or PASSWORD.encode() not in file.read_bytes(), file
    memory = [line[-1] for line in lines]
    later = memory[int(0.45 * len(memory)) :]  # of the second process
    return {
        'acknowledged': len(frames),
        'least of a camera': min(counts),
        'MiB early': max(later[: len(later) // 5]),
        'MiB at the end': max(later[-len(later) // 5 :]),
    }


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--minutes', type=float, default=10)
    with tempfile.TemporaryDirectory() as temporary:
        print(run(Path(temporary), 60 * parser.parse_args().minutes))
