"""One process at a time works on a run."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path


class RunLock:
    """A lock of the operating system on a file of the run's folder.

    It is held as long as any process has the descriptor open: this one, or a command that inherited
    it. So it outlives a killed parent exactly as long as what the parent had started, and needs no
    cleaning up.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def take(cls, folder: Path) -> RunLock | None:
        """The lock of a folder, which is made if missing; None if somebody else holds it."""
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(_path(folder), os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        lock = cls(descriptor)
        lock.describe(f'process {os.getpid()}')
        return lock

    @staticmethod
    def holder(folder: Path) -> str:
        """Who holds the lock, in words, for messages."""
        return _path(folder).read_text().strip() or 'another process'

    def describe(self, holder: str) -> None:
        """Say who holds the lock from now on."""
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, f'{holder} on {socket.gethostname()}\n'.encode(), 0)

    def release(self) -> None:
        """Let go of it."""
        os.close(self.descriptor)


def _path(folder: Path) -> Path:
    return folder / 'lock'
