import os
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from helpers.numbered_frames import number_of, numbered_frame
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmps.sources import (
    Prefetch,
    Provenance,
    Reading,
    Worker,
    as_image,
    count_frames,
    counted,
    find_files,
    printable,
    read_frame,
    read_sources,
    without_password,
)
from mmps.sources.images import absolute
from mmps.sources.reading import is_video
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
        while len(taken) < 8 and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.05)
        assert len(taken) == 8  # five used, three waiting
    assert not any(thread.name.startswith('prefetch') for thread in threading.enumerate())


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


@pytest.fixture
def tree(tmp_path):
    for name in ('b/2.jpg', 'b/1.JPG', 'a/x.mp4', 'a/notes.txt', 'c.png', '.hidden.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def names(sources):
    problems = []
    files = find_files(sources, problems.append)
    return files, [str(problem) for problem in problems]


def test_a_folder_stands_for_what_is_below_it_in_the_order_of_names(tree):
    files, problems = names([tree])
    expected = ['c.png', 'a/x.mp4', 'b/1.JPG', 'b/2.jpg']
    assert files == [str(tree / name) for name in expected]
    assert problems == []


def test_each_file_once_however_it_is_named(tree, monkeypatch):
    monkeypatch.chdir(tree / 'a')
    again = ['../c.png', tree / 'c.png', tree, './x.mp4', '../b/../c.png']
    assert names(again)[0] == [str(tree / n) for n in ('c.png', 'a/x.mp4', 'b/1.JPG', 'b/2.jpg')]


def test_two_dots_behind_a_link_lead_where_they_lead(tree):
    (tree / 'deep').mkdir()
    (tree / 'link').symlink_to(tree / 'deep')
    (tree / 'deep' / '..' / 'up.png').touch()
    assert names([f'{tree}/link/../up.png'])[0] == [str(tree / 'up.png')]
    assert absolute(tree / 'link' / 'p.png') == str(tree / 'link' / 'p.png')


def test_links_to_folders_are_followed_but_not_in_circles(tree):
    (tree / 'b' / 'back').symlink_to(tree)
    outside = tree.parent / f'{tree.name}_outside'
    outside.mkdir()
    (outside / 'o.png').touch()
    (tree / 'a' / 'out').symlink_to(outside)
    files, problems = names([tree])
    assert str(tree / 'a' / 'out' / 'o.png') in files
    assert len(files) == 5
    assert problems == []


def test_a_named_file_counts_whatever_its_suffix(tree):
    assert names([tree / 'a' / 'notes.txt'])[0] == [str(tree / 'a' / 'notes.txt')]


def test_what_is_not_there_or_no_file(tree):
    os.mkfifo(tree / 'pipe.png')
    (tree / 'dangling.png').symlink_to(tree / 'nowhere')
    files, problems = names([tree / 'gone', tree / 'pipe.png', tree / 'dangling.png'])
    assert files == []
    assert 'gone: no such file or folder' in problems[0]
    assert 'pipe.png: neither a file nor a folder' in problems[1]
    assert 'dangling.png: neither a file nor a folder' in problems[2]
    assert len(names([tree])[0]) == 4  # in a folder they are passed over


def test_a_folder_that_cannot_be_listed(tree, monkeypatch):
    scandir = os.scandir

    def guarded(path):
        if Path(path).name == 'a':
            raise PermissionError(13, 'Permission denied', os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, 'scandir', guarded)
    files, problems = names([tree])
    assert files == [str(tree / name) for name in ('c.png', 'b/1.JPG', 'b/2.jpg')]
    assert problems == [f'{tree / "a"}: cannot be listed (Permission denied)']


def test_names_with_line_breaks_and_dots(tree):
    for name in ('line\nbreak.png', 'dots...png', 'ünï 人.png'):
        (tree / 'b' / name).touch()
    files, problems = names([tree / 'b'])
    expected = {'1.JPG', '2.jpg', 'line\nbreak.png', 'ünï 人.png', 'dots...png'}
    assert {Path(file).name for file in files} == expected
    assert problems == []
    assert printable(str(tree / 'line\nbreak.png')).endswith("line\\nbreak.png'")


def test_names_that_are_no_text(tree):
    path = os.fsencode(tree) + b'/b/\xff.png'
    with open(path, 'wb'):
        pass
    files, problems = names([tree / 'b'])
    assert len(files) == 2
    assert len(problems) == 1 and 'not valid UTF-8; rename it' in problems[0]
    assert problems[0].isprintable()


@pytest.mark.parametrize('suffix', ['jfif', 'jpeg', 'JPE', 'avif', 'heic', 'HIF', 'bmp'])
def test_pictures_of_phones_and_browsers_in_a_folder(tmp_path, suffix):
    (tmp_path / f'photo.{suffix}').touch()
    assert names([tmp_path]) == ([str(tmp_path / f'photo.{suffix}')], [])
    assert not is_video(str(tmp_path / f'photo.{suffix}'))


@pytest.mark.parametrize(
    'suffix', ['MOV', 'webm', 'ts', '3gp', 'dav', 'h264', 'hevc', 'mjpg', 'vob', 'ogv', 'mxf']
)
def test_videos_of_recorders_in_a_folder(tmp_path, suffix):
    (tmp_path / f'video.{suffix}').touch()
    assert names([tmp_path]) == ([str(tmp_path / f'video.{suffix}')], [])
    assert is_video(str(tmp_path / f'video.{suffix}'))


def test_files_of_other_kinds_are_counted(tree):
    passed_over = Counter()
    (tree / 'b' / 'raw.CR2').touch()
    (tree / 'b' / 'README').touch()
    find_files([tree, tree / 'a' / 'notes.txt'], pytest.fail, passed_over)
    assert passed_over == {'.txt': 1, '.cr2': 1, '': 1}
    assert counted(Counter({'.cr2': 1})) == '1 file of another kind: .cr2'
    assert counted(Counter({'.cr2': 2})) == '2 files of another kind: .cr2'
    assert counted(passed_over + Counter({'.txt': 2})) == (
        '5 files of other kinds: 3 .txt, 1 .cr2, 1 without suffix'
    )
    only = tree / 'only'
    only.mkdir()
    (only / 'x.psd').touch()
    message = 'no images or videos in this folder, but 1 file of another kind: .psd'
    assert names([only]) == ([], [f'{only}: {message}'])


def test_what_an_unknown_name_holds(tmp_path):
    frames = [Image.fromarray(numbered_frame(k)) for k in range(3)]
    kinds = {
        'one.gif': dict(format='GIF'),
        'one.heic.bak': dict(format='HEIF'),
        'one.jpg.1': dict(format='JPEG'),
        'one.mpo': dict(format='MPO', save_all=True, append_images=frames[1:]),
    }
    pillow_heif.register_heif_opener()
    for name, options in kinds.items():
        frames[0].save(tmp_path / name, **options)
        assert not is_video(str(tmp_path / name)), name
    for name, kind in (('all.gif', 'GIF'), ('all.apng', 'PNG'), ('all', 'PNG')):
        frames[0].save(tmp_path / name, kind, save_all=True, append_images=frames[1:])
        assert is_video(str(tmp_path / name)), name
    one = (tmp_path / 'one.jpg.1').read_bytes()
    (tmp_path / 'stream').write_bytes(one * 3)
    assert is_video(str(tmp_path / 'stream'))
    (tmp_path / 'trailing').write_bytes(one + bytes(50))
    assert not is_video(str(tmp_path / 'trailing'))


@pytest.mark.parametrize(
    ('address', 'shown'),
    [
        ('rtsp://viewer:secret@192.0.2.9:554/stream1', 'rtsp://192.0.2.9:554/stream1'),
        ('rtsp://viewer:se/cr@et@camera/1', 'rtsp://camera/1'),
        ('rtsp://viewer:se?cr#et@camera/1?low', 'rtsp://camera/1'),
        ('http://camera:8080/v?user=a@b&password=secret', 'http://camera:8080/v'),
        ('https://[2001:db8::1]:80/a b', 'https://[2001:db8::1]:80/a b'),
        ('rtsp://a:b@c/cam?channel=2&subtype=0&pin=123', 'rtsp://c/cam?channel=2&subtype=0'),
        ('rtsp://c/user=u_password=secret_channel=1', 'rtsp://c/user=_password=_channel=1'),
        ('srt://camera:9?passphrase=secret', 'srt://camera:9'),
        ('RTMP://u:p@camera', 'RTMP://camera'),
        ('rtsp:/viewer:secret@camera/1', 'rtsp://camera/1'),  # as pathlib writes it
    ],
)
def test_addresses_are_told_without_their_passwords(address, shown, tmp_path):
    files, problems = names([address])
    assert files == []
    assert problems == [f'{shown}: addresses of this kind are not read; save it as a file first']
    assert absolute(address) == shown
    with pytest.raises(ValueError, match='addresses are not read') as caught:
        as_image(address)
    assert shown in str(caught.value) and 'secret' not in str(caught.value)


@given(
    scheme=st.sampled_from(['rtsp', 'http', 'https', 'rtmps', 'srt+x', 'mms']),
    password=st.text('abc/?#:@%&=', min_size=1).map(lambda text: f'S{text}S'),
)
def test_no_password_is_ever_shown(scheme, password):
    shown = without_password(f'{scheme}://u:{password}@camera:554/x?token=S')
    assert 'S' not in shown


def test_kind_by_suffix_else_by_content(tmp_path):
    assert is_video('x.MKV') and not is_video('x.TIFF')
    write_image(tmp_path / 'i.png', numbered_frame(0))
    (tmp_path / 'i.png').rename(tmp_path / 'picture')
    (tmp_path / 'other').write_bytes(b'\0' * 100)
    assert not is_video(str(tmp_path / 'picture'))
    assert is_video(str(tmp_path / 'other'))
