import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import pytest
from helpers.made_videos import CLOSE, error, write

from mmps.sources import (
    LiveFrames,
    LiveSource,
    Provenance,
    Reading,
    absolute,
    is_live,
    new_files,
    read_frame,
)
from mmps.sources import live as live_module


def serve(seconds, first=0, rate=10, port=0):
    """A camera for some seconds: its process and its port."""
    command = [
        sys.executable,
        '-m',
        'helpers.stream_server',
        *map(str, (port, seconds, first, rate)),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    return process, int(process.stdout.readline())


@pytest.fixture
def camera():
    process, port = serve(600)
    yield f'http://viewer:secret@127.0.0.1:{port}/cam'
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize(
    'source', ['rtsp://h/x', 'RTSP://h', 'https://u:p@h/x.m3u8', '/dev/video0']
)
def test_live_sources(source):
    assert is_live(source)


@pytest.mark.parametrize('source', ['srt://h/x', 'a.mp4', Path('/dev/null'), 'file:///x', 'rtsp'])
def test_what_is_no_live_source(source):
    assert not is_live(source)


def test_frames_come_with_the_time_of_their_arrival(camera):
    stop, frames = threading.Event(), []
    reading = Reading(provenance=Provenance(camera='door', start_time=5.0, metadata={'floor': '2'}))
    before = time.time()
    for frame in LiveSource(camera, last=int(before * 1000) + 10**6).read(reading, stop, print):
        frames.append(frame)
        if len(frames) == 15:
            stop.set()
    name = absolute(camera)
    assert 'secret' not in name
    assert {(f.source, f.camera, f.offset, f.metadata['floor']) for f in frames} == {
        (name, 'door', None, '2')
    }
    assert all(before < frame.time <= time.time() for frame in frames)
    # Numbers grow though the clock has been set back since the last one.
    assert [f.frame - frames[0].frame for f in frames] == list(range(15))
    shown = [min(range(600), key=lambda n, f=f: error(f.image, n)) for f in frames[:3]]
    assert shown == list(range(shown[0], shown[0] + 3))
    assert error(frames[0].image, shown[0]) < CLOSE
    with pytest.raises(FileNotFoundError, match='no pictures are kept'):
        read_frame(name, frames[0].frame)


def test_frames_per_second_are_those_of_the_time_they_arrive(camera):
    stop, times = threading.Event(), []
    for frame in LiveSource(camera).read(Reading(fps=5), stop, print):
        times.append(frame.time)
        if len(times) == 5:
            stop.set()
    assert times[-1] - times[1] > 0.5  # what was sent at once counts once


def test_a_lost_connection_is_taken_up_again(monkeypatch):
    monkeypatch.setattr(live_module, '_PAUSES', (0.1, 0.4))
    process, port = serve(600, rate=30)  # a rate is known after 20 frames
    source = LiveSource(f'http://u:secret@127.0.0.1:{port}/cam')
    stop, said, numbers, restarted = threading.Event(), [], [], []

    def say(message):
        said.append(message)
        if len(said) == 5:  # the first connection, and four that were refused
            restarted.append(serve(600, 100, 30, port)[0])

    for frame in source.read(Reading(), stop, say):
        numbers.append(frame.frame)
        if len(numbers) == 5:
            process.kill()
            process.wait()
        if restarted and len(said) >= 5 and len(numbers) > 10:
            stop.set()
    restarted[0].kill()
    restarted[0].wait()
    process.stdout.close()
    restarted[0].stdout.close()
    assert numbers == sorted(set(numbers))
    assert source.lost == len(said)
    assert 'secret' not in ' '.join(said) and 'Connection refused' in said[1]


def test_pauses_grow(monkeypatch):
    monkeypatch.setattr(live_module, '_PAUSES', (1.0, 8.0))
    waited = []

    class Stop(threading.Event):
        def wait(self, timeout=None):
            waited.append(timeout)
            if len(waited) == 6:
                self.set()

    def refused(address):
        raise ConnectionRefusedError(111, 'Connection refused', address)

    monkeypatch.setattr(live_module, '_opened', refused)
    assert list(LiveSource('rtsp://h/x').read(Reading(), Stop(), print)) == []
    assert waited == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_the_slower_taker_gets_the_newest_frames_of_every_source(monkeypatch):
    class Endless(LiveSource):
        def read(self, reading, stop, say):
            for number in range(100):
                yield self.address, number

    sources = [Endless('a'), Endless('b')]
    frames = LiveFrames(sources, Reading(), threading.Event(), print)
    deadline = time.monotonic() + 10
    while frames._running and time.monotonic() < deadline:
        time.sleep(0.01)
    came = [entry for group in frames.groups(2) for entry in group]
    assert came == [(name, number) for number in range(96, 100) for name in 'ab']
    assert [source.dropped for source in sources] == [96, 96]


def test_errors_of_a_source_come_through():
    class Failing(LiveSource):
        def read(self, reading, stop, say):
            raise ZeroDivisionError
            yield

    with pytest.raises(ZeroDivisionError):
        list(LiveFrames([Failing('a')], Reading(), threading.Event(), print).groups(2))


def test_a_camera_is_opened_by_its_driver(monkeypatch):
    opened = []

    def note(address, **options):
        opened.append((address, options.get('format'), options.get('container_options')))
        raise FileNotFoundError(2, 'No such file or directory', address)

    monkeypatch.setattr(av, 'open', note)
    for address in ('/dev/video3', 'rtsp://h/x', 'http://h/x'):
        with pytest.raises(FileNotFoundError):
            live_module._opened(address)
    assert opened == [
        ('/dev/video3', 'v4l2', None),
        ('rtsp://h/x', None, {'rtsp_transport': 'tcp'}),
        ('http://h/x', None, {}),
    ]


def test_a_recording_on_a_server_is_no_stream(tmp_path):
    """It would be indexed again and again."""
    content = write(tmp_path / 'v.mp4', container_options={'movflags': 'faststart'}).read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header('Content-Length', str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    source = LiveSource(f'http://127.0.0.1:{server.server_port}/v.mp4')
    assert list(source.read(Reading(), threading.Event(), print)) == []
    assert 'is a recording' in source.refused
    server.shutdown()
    server.server_close()


def test_new_files_come_once_when_they_are_complete(tmp_path):
    stop, problems = threading.Event(), []
    looks = new_files([tmp_path], stop, 0.05, problems.append)
    assert next(looks) == []
    assert [problem.message for problem in problems] == ['no images or videos in this folder']
    path = tmp_path / 'v.mp4'
    path.write_bytes(b'1')
    assert next(looks) == []
    path.write_bytes(b'12')
    assert next(looks) == []
    assert next(looks) == [str(path)]
    assert next(looks) == []
    path.write_bytes(b'123')
    assert (next(looks), next(looks), next(looks)) == ([], [str(path)], [])
    path.unlink()
    assert next(looks) == []
    stop.set()
    assert list(looks) == []
    assert len(problems) == 1
