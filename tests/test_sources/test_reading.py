import threading
import time

import numpy as np
import pytest
from helpers.numbered_frames import number_of, numbered_frame

from mmps.sources import (
    Prefetch,
    Provenance,
    Reading,
    Worker,
    count_frames,
    find_files,
    read_frame,
    read_sources,
)
from mmps.visualization import write_image, write_video


@pytest.fixture(scope='module')
def sources(tmp_path_factory):
    """Five numbered images, and 50 numbered frames of a video, 25 per second."""
    folder = tmp_path_factory.mktemp('sources')
    for number in range(5):
        write_image(folder / 'images' / f'{number}_c{number % 2}.png', numbered_frame(number))
    write_video(folder / 'v.avi', map(numbered_frame, range(50)), 25)
    return [folder / 'images', folder / 'v.avi']


def numbers(sources, *options, **named):
    return [number_of(frame.image) for frame in read_sources(sources, *options, **named)]


def test_images_and_videos_as_one_stream(sources):
    frames = list(read_sources(sources))
    assert [number_of(frame.image) for frame in frames] == [*range(5), *range(50)]
    assert [frame.frame for frame in frames] == [0] * 5 + list(range(50))
    assert {frame.source for frame in frames[5:]} == {str(sources[1])}
    assert frames[0].offset is None and frames[30].offset == pytest.approx(1.0)


def test_times_and_cameras(sources):
    rules = Provenance(name_pattern=r'c(?P<camera>\d)', start_time=100.0)
    frames = list(read_sources(sources, Reading(provenance=rules)))
    assert [frame.camera for frame in frames[:5]] == ['0', '1', '0', '1', '0']
    assert frames[5].camera is None
    assert frames[30].time == pytest.approx(101.0)


def test_sampling(sources):
    assert numbers(sources, Reading(fps=5)) == [*range(5), *range(0, 50, 5)]


def test_skipped_files_are_not_opened(sources, monkeypatch):
    skip = {(frame.source, frame.frame) for frame in read_sources(sources, Reading(fps=5))}
    opened = []
    monkeypatch.setattr('mmps.sources.reading.read_image', opened.append)
    monkeypatch.setattr('mmps.sources.reading.read_video', opened.append)
    assert numbers(sources, Reading(fps=5, skip=skip)) == []
    assert opened == []


def test_what_was_not_skipped_is_read(sources):
    skip = {(frame.source, frame.frame) for frame in read_sources(sources, Reading(fps=5))}
    skip -= {(str(sources[1]), 20)}
    assert numbers(sources, Reading(fps=5, skip=skip)) == [20]
    rest = [n for n in range(50) if n % 5]
    assert numbers(sources[1:], Reading(skip=skip)) == sorted([20, *rest])


@pytest.mark.parametrize('fps', [None, 5])
@pytest.mark.parametrize('ranks', [2, 7])
def test_shares_are_disjoint_even_and_complete(sources, fps, ranks):
    shares = [
        [(f.source, f.frame) for f in read_sources(sources, Reading(fps, rank=r, ranks=ranks))]
        for r in range(ranks)
    ]
    whole = [(f.source, f.frame) for f in read_sources(sources, Reading(fps))]
    assert sorted(entry for share in shares for entry in share) == sorted(whole)
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 2


def test_counting(sources):
    files = find_files(sources, lambda problem: None)
    skip = {(files[0], 0), (files[5], 10), (files[5], 11)}
    for reading in (Reading(), Reading(fps=5, skip=skip), Reading(skip=skip, rank=1, ranks=3)):
        assert count_frames(files, reading) == len(numbers(sources, reading))


def test_broken_files_are_told_and_passed_over(sources, tmp_path):
    (tmp_path / 'a.png').write_bytes(b'nothing')
    (tmp_path / 'b.mp4').write_bytes(b'nothing')
    write_image(tmp_path / 'c.png', numbered_frame(7))
    content = sources[1].read_bytes()
    (tmp_path / 'd.avi').write_bytes(content[: len(content) // 2])
    problems = []
    read = numbers([tmp_path], on_problem=problems.append)
    assert read[0] == 7 and read[1:] == list(range(len(read) - 1))
    assert [(p.source, p.message.split()[0]) for p in problems] == [
        (str(tmp_path / 'a.png'), 'not'),
        (str(tmp_path / 'b.mp4'), 'cannot'),
        (str(tmp_path / 'd.avi'), 'breaks'),
    ]
    told = []
    for rank in range(3):
        numbers([tmp_path], Reading(rank=rank, ranks=3), on_problem=told.append)
    assert sorted(map(str, told)) == sorted(map(str, problems))


def test_a_file_that_goes_away_meanwhile(sources, monkeypatch):
    def gone(path, limit):
        raise FileNotFoundError(2, 'No such file or directory', path)

    monkeypatch.setattr('mmps.sources.reading.read_image', gone)
    problems = []
    assert numbers(sources[:1], on_problem=problems.append) == []
    assert {problem.message for problem in problems} == {'No such file or directory'}
    assert len(problems) == 5


def test_a_frame_again(sources, tmp_path):
    for frame in list(read_sources(sources))[::7]:
        again = read_frame(frame.source, frame.frame, frame.offset)
        assert number_of(again) == number_of(frame.image)
    with pytest.raises(FileNotFoundError, match=r'gone\.png does not exist any more'):
        read_frame(tmp_path / 'gone.png')


def test_prefetching_stays_a_few_items_ahead():
    taken = []

    def items():
        for number in range(1000):
            taken.append(number)
            yield number

    with Prefetch(items(), ahead=3) as ready:
        assert [next(ready) for _ in range(5)] == [0, 1, 2, 3, 4]
        deadline = time.monotonic() + 10
        while len(taken) < 9 and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.05)
        assert len(taken) == 9  # five used, three waiting, one in hand
    assert not any(thread.name == 'prefetch' for thread in threading.enumerate())


def test_prefetching_ends_and_fails_as_the_items_do():
    with Prefetch(iter('abc'), ahead=9) as ready:
        assert list(ready) == ['a', 'b', 'c']

    def failing():
        yield 1
        raise OSError('disk')

    with Prefetch(failing(), ahead=9) as ready:
        assert next(ready) == 1
        with pytest.raises(OSError, match='disk'):
            next(ready)


def test_a_worker_does_everything_in_order():
    done = []
    with Worker(done.append, waiting=1) as worker:
        for number in range(20):
            worker.put(number)
    assert done == list(range(20))


def test_a_worker_stops_at_an_error():
    done = []

    def work(number):
        if number == 3:
            raise OSError('disk')
        done.append(number)

    with pytest.raises(OSError, match='disk'), Worker(work, waiting=1) as worker:
        for number in range(1000):
            worker.put(number)
    assert done == [0, 1, 2]
    with pytest.raises(OSError, match='disk'), Worker(work) as worker:
        worker.put(3)


def test_frames_are_not_shared(sources):
    first, second = list(read_sources(sources))[:2]
    assert not np.shares_memory(first.image, second.image)
