import threading
import time

import pytest
from helpers.live_kills import RATE, run
from helpers.numbered_frames import numbered_frame

from mmps.apis import PersonSearcher
from mmps.retrieval import Gallery
from mmps.utils.errors import UserError
from mmps.visualization import write_image


@pytest.fixture
def searcher(hashing):
    return PersonSearcher.of_network(hashing, batch_size=4)


@pytest.fixture
def gallery(searcher):
    return Gallery.open('memory:', searcher.tag)


def test_two_cameras_with_interruptions_and_a_kill(tmp_path):
    """Everything acknowledged is there once; ``live_kills.py`` does it for as long as wanted."""
    found = run(tmp_path, 5.0)
    assert found['least of a camera'] > 5 * RATE / 4
    text = (tmp_path / 'output1').read_text()
    assert 'http://127.0.0.1:' in text and '/cam?channel=1: ' in text
    assert 'trying again in 1 s' in text and 'the connection was lost' in text


def watching(searcher, sources, gallery, **options):
    """Watch in a thread; what ends it, and where its report comes."""
    stop, reports = threading.Event(), []

    def index():
        options.setdefault('watch', 0.3)
        reports.append(searcher.index(sources, gallery, progress=False, stop=stop, **options))

    thread = threading.Thread(target=index)
    thread.start()

    def end():
        stop.set()
        thread.join(20)
        assert not thread.is_alive()
        return reports[0]

    return end


def wait_for(condition, seconds=15.0):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert condition()


def test_new_files_are_indexed_when_they_have_stopped_growing(searcher, gallery, tmp_path):
    write_image(tmp_path / 'in' / '0.png', numbered_frame(0))
    end = watching(searcher, [tmp_path / 'in'], gallery)
    wait_for(lambda: len(gallery.known()) == 1)
    write_image(tmp_path / 'whole.png', numbered_frame(1))
    content = (tmp_path / 'whole.png').read_bytes()
    with open(tmp_path / 'in' / '1.png', 'wb') as growing:
        for byte in content[:20]:
            growing.write(bytes([byte]))
            growing.flush()
            time.sleep(0.05)
        assert len(gallery.known()) == 1
        growing.write(content[20:])
    wait_for(lambda: len(gallery.known()) == 2)
    report = end()
    assert (report.frames, report.problems) == (2, ())


def test_a_folder_that_is_empty_at_first(searcher, tmp_path):
    (tmp_path / 'in').mkdir()
    address = tmp_path / 'people.lance'
    end = watching(searcher, tmp_path / 'in', address)
    time.sleep(0.5)
    assert not address.exists()
    write_image(tmp_path / 'in' / '0.png', numbered_frame(0))
    wait_for(lambda: address.exists() and Gallery.open(address, searcher.tag).known())
    report = end()
    assert report.frames == 1
    assert [problem.message for problem in report.problems] == [
        'no images or videos in this folder'
    ]


def test_what_does_not_go_together(searcher, gallery):
    stream = 'rtsp://u:secret@127.0.0.1:9/x'
    for sources, options, message in (
        ([stream, 'rtsp://v:other@127.0.0.1:9/x'], {}, r'called rtsp://127.0.0.1:9/x;'),
        ([stream], {'watch': 1.0}, 'take two commands'),
        (['x'], {'watch': 1.0, 'shard': (0, 2)}, 'give each its own'),
        (['x'], {'watch': 0.0}, 'must be positive'),
    ):
        with pytest.raises(UserError, match=message) as caught:
            searcher.index(sources, gallery, **options)
        assert 'secret' not in str(caught.value)


def test_a_stream_that_nobody_serves(searcher, gallery):
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    sources = ['http://u:secret@127.0.0.1:9/x']
    report = searcher.index(sources, gallery, progress=False, stop=stop)
    assert report.failed and 'secret' not in str(report)
    assert 'http://127.0.0.1:9/x: the connection was lost, or could not be made, 1 times' in str(
        report
    )
