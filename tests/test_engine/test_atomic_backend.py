import os
import signal
import subprocess
import sys
import time

import pytest
from mmengine.fileio import get_file_backend

from mmps.engine import AtomicLocalBackend

WRITER = """
import sys
from mmps.engine import AtomicLocalBackend
backend, size = AtomicLocalBackend(), 30_000_000
print('ready', flush=True)
while True:
    for value in (b'a', b'b'):
        backend.put(value * size, sys.argv[1])
"""


def test_selected_by_name():
    assert isinstance(
        get_file_backend('x', backend_args=dict(backend='AtomicLocalBackend')), AtomicLocalBackend
    )


def test_writes_into_a_new_folder_and_leaves_no_other_file(tmp_path):
    AtomicLocalBackend().put(b'weights', tmp_path / 'new' / 'epoch_1.pth')
    assert (tmp_path / 'new' / 'epoch_1.pth').read_bytes() == b'weights'
    assert os.listdir(tmp_path / 'new') == ['epoch_1.pth']


def test_a_failed_write_leaves_the_old_file(tmp_path):
    target = tmp_path / 'epoch_1.pth'
    target.write_bytes(b'old')
    with pytest.raises(TypeError):
        AtomicLocalBackend().put('text', target)
    assert target.read_bytes() == b'old'


def test_a_killed_writer_leaves_a_complete_file(tmp_path):
    target = tmp_path / 'epoch_1.pth'
    for trial in range(2):
        process = subprocess.Popen(
            [sys.executable, '-c', WRITER, str(target)], stdout=subprocess.PIPE
        )
        process.stdout.readline()
        while not target.exists():
            time.sleep(0.01)
        time.sleep(0.05 + 0.037 * trial)
        process.send_signal(signal.SIGKILL)
        process.wait()
        content = target.read_bytes()
        assert len(content) == 30_000_000
        assert content in (b'a' * len(content), b'b' * len(content))
