"""What has no end, from the command line: it is indexed until a signal comes."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest

from mmps.retrieval import Gallery
from mmps.sources import absolute
from mmps.utils.checkpoint import save_untrained
from mmps.utils.errors import UserError


@pytest.fixture(scope='module')
def model(config_file, tmp_path_factory):
    """Config and checkpoint as arguments, and the folder of the scenes."""
    from mmengine.config import Config

    checkpoint = tmp_path_factory.mktemp('live') / 'tiny.pth'
    save_untrained(Config.fromfile(config_file).model, checkpoint, seed=3)
    return [str(config_file), str(checkpoint)], config_file.parent / 'prw' / 'frames'


def index_until(condition, load_tool, arguments, gallery):
    """Run the tool, and end it by a signal once the gallery is as wanted."""
    usual = signal.getsignal(signal.SIGTERM)

    def wanted():
        # A gallery that is just being made cannot be opened yet.
        with suppress(OSError, ValueError, UserError):
            return condition(Gallery.open(gallery, create=False).known())
        return False

    def end():
        deadline = time.monotonic() + 60
        try:
            while time.monotonic() < deadline and not wanted():
                time.sleep(0.2)
        finally:
            if not ended.is_set():  # else the signal would end the tests
                os.kill(os.getpid(), signal.SIGTERM)

    thread, ended = threading.Thread(target=end), threading.Event()
    words = [*arguments, '--gallery', str(gallery), '--score-thr', '0']
    thread.start()
    try:
        load_tool('index_gallery.py').main(words)
    finally:
        ended.set()
        thread.join()
    assert signal.getsignal(signal.SIGTERM) == usual
    return Gallery.open(gallery, create=False)


def test_a_stream(model, load_tool, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr('mmps.apis.indexing.SECONDS_PER_APPEND', 0.5)
    command = [sys.executable, '-m', 'helpers.stream_server', '0', '600', '0', '5']
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        address = f'http://viewer:secret@127.0.0.1:{int(server.stdout.readline())}/cam'
        options = ['--fps', '2', '--name-pattern', r'//(?P<camera>[^:]+)']
        before = time.time()
        gallery = index_until(
            lambda known: len(known) >= 2,
            load_tool,
            [*model[0], address, *options],
            tmp_path / 'people.lance',
        )
        server.kill()
    known = gallery.known()
    assert {source for source, _ in known} == {absolute(address)}
    assert all(before * 1000 <= frame <= time.time() * 1000 for _, frame in known)
    shown = capsys.readouterr()
    assert f'{len(known)} images added' in shown.out
    assert 'secret' not in shown.out + shown.err
    assert gallery.info().cameras == ('127.0.0.1',)


def test_a_folder_that_is_watched(model, load_tool, tmp_path, capsys):
    scenes, folder = sorted(model[1].iterdir()), tmp_path / 'in'
    folder.mkdir()
    (folder / scenes[0].name).write_bytes(scenes[0].read_bytes())

    def later(known):
        if len(known) == 1 and not (folder / scenes[1].name).exists():
            (folder / scenes[1].name).write_bytes(scenes[1].read_bytes())
        return len(known) == 2

    arguments = [*model[0], str(folder), '--watch', '0.3']
    gallery = index_until(later, load_tool, arguments, tmp_path / 'people.lance')
    assert gallery.known() == {(str(folder / scene.name), 0) for scene in scenes[:2]}
    assert '2 images added' in capsys.readouterr().out
