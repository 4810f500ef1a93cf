"""Videos as cameras, phones and browsers make them: each frame as the file holds it, and again."""

import os
from itertools import pairwise

import av
import numpy as np
import pytest
from helpers.made_videos import CLOSE, Unseekable, damaged, error, errors, scene, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmps.sources import (
    Provenance,
    Reading,
    read_frame,
    read_frame_at,
    read_sources,
    video_info,
)
from mmps.sources import reading as reading_module
from mmps.sources import videos as videos_module
from mmps.sources.video_file import Clock

HD = (1920, 1080)
CONTAINERS = [
    ('mp4', 'libx264', 'yuv420p'),
    ('mp4', 'libx265', 'yuv420p10le'),
    ('mp4', 'libsvtav1', 'yuv420p'),
    ('mp4', 'mpeg4', 'yuv420p'),
    ('mp4', 'libvpx-vp9', 'yuv420p'),
    ('m4v', 'libx264', 'yuv420p'),
    ('mov', 'libx264', 'yuv420p'),
    ('mov', 'prores_ks', 'yuv422p10le'),
    ('mov', 'mjpeg', 'yuvj420p'),
    ('mkv', 'libx264', 'yuv444p'),
    ('mkv', 'libx265', 'yuv420p'),
    ('mkv', 'libsvtav1', 'yuv420p'),
    ('mkv', 'ffv1', 'yuv422p'),
    ('mkv', 'mjpeg', 'yuvj422p'),
    ('webm', 'libvpx', 'yuv420p'),
    ('webm', 'libvpx-vp9', 'yuv420p'),
    ('webm', 'libsvtav1', 'yuv420p'),
    ('avi', 'mjpeg', 'yuvj420p'),
    ('avi', 'mpeg4', 'yuv420p'),
    ('avi', 'libx264', 'yuv420p'),
    ('avi', 'huffyuv', 'rgb24'),
    ('avi', 'rawvideo', 'yuv420p'),
    ('ts', 'libx264', 'yuv420p'),
    ('ts', 'libx265', 'yuv420p'),
    ('ts', 'mpeg2video', 'yuv420p'),
    ('m2ts', 'libx264', 'yuv420p'),
    ('mts', 'libx264', 'yuv420p'),
    ('mpg', 'mpeg1video', 'yuv420p'),
    ('mpeg', 'mpeg2video', 'yuv420p'),
    ('flv', 'libx264', 'yuv420p'),
    ('flv', 'flv', 'yuv420p'),
    ('wmv', 'wmv2', 'yuv420p'),
    ('3gp', 'libx264', 'yuv420p'),
]
"""Suffix, encoder and pixel format of what docs/search.md says is read."""


def read(path, *options):
    """Frames and problems of a file."""
    problems = []
    return list(read_sources([path], *options, on_problem=problems.append)), problems


def assert_shown_again(frames, most=1e-9):
    """Each frame has the same pixels when it is asked for alone."""
    for frame in frames:
        again = read_frame(frame.source, frame.frame, frame.offset)
        assert again.shape == frame.image.shape
        assert np.abs(again.astype(int) - frame.image).mean() <= most, frame.frame


def assert_healthy(path, count=40, step=0.1):
    frames, problems = read(path)
    assert problems == []
    assert [frame.frame for frame in frames] == list(range(count))
    assert max(errors(frames)) < CLOSE
    assert all(before.offset < after.offset for before, after in pairwise(frames))
    if step:
        assert frames[-1].offset - frames[0].offset == pytest.approx((count - 1) * step, abs=0.002)
    assert_shown_again(frames[:: max(1, count // 8)])
    return frames


@pytest.mark.parametrize(('suffix', 'codec', 'pix_fmt'), CONTAINERS)
def test_containers_and_codecs(tmp_path, suffix, codec, pix_fmt):
    rate = 25 if codec in ('mpeg1video', 'mpeg2video') else 10
    path = write(tmp_path / f'v.{suffix}', codec, (pix_fmt,) * 40, rate=rate)
    frames = assert_healthy(path, step=1 / rate)
    for frame in (frames[3], frames[36]):  # by its number alone, and by its time alone
        assert error(read_frame(path, frame.frame), frame.frame) < CLOSE
        assert np.array_equal(read_frame_at(path, frame.offset + 0.3 / rate), frame.image)
    with pytest.raises(ValueError, match='has no frame 40'):
        read_frame(path, 40)


@pytest.mark.parametrize(
    ('name', 'codec', 'pix_fmts', 'size'),
    [
        ('second.avi', 'mjpeg', ['yuvj422p'] + ['yuvj420p'] * 6, (640, 480)),
        ('large.avi', 'mjpeg', ['yuvj444p'] + ['yuvj420p'] * 6, HD),
        ('middle.mkv', 'mjpeg', ['yuvj420p'] * 5 + ['yuvj444p'] * 5 + ['yuvj422p'] * 5, (320, 180)),
        ('depth.ts', 'libx264', ['yuv420p'] * 12 + ['yuv420p10le'] * 12, (320, 180)),
    ],
)
def test_pixel_formats_that_change(tmp_path, name, codec, pix_fmts, size):
    sizes = (size,) * len(pix_fmts)
    path = write(tmp_path / name, codec, pix_fmts, sizes, options={'bf': '0'})
    frames = assert_healthy(path, len(pix_fmts), step=0)
    assert {frame.image.shape for frame in frames} == {(size[1], size[0], 3)}


def test_a_frame_that_a_decoder_loses_at_a_change_is_named(tmp_path):
    pix_fmts = ['yuv422p'] * 12 + ['yuv420p'] * 12
    path = write(tmp_path / 'v.ts', 'mpeg2video', pix_fmts, rate=25, options={'bf': '0'})
    frames, (problem,) = read(path)
    assert '1 of 24 frames cannot be decoded, at frame 11 first' in problem.message
    assert [round(25 * frame.offset) for frame in frames] == [*range(11), *range(12, 24)]
    assert max(error(frame.image, round(25 * frame.offset)) for frame in frames) < CLOSE
    assert_shown_again(frames)


@pytest.mark.parametrize(
    ('name', 'codec', 'pix_fmt', 'change'),
    [
        ('larger.avi', 'mjpeg', 'yuvj420p', [(320, 192), (640, 384)]),
        ('smaller.mkv', 'mjpeg', 'yuvj420p', [(640, 384), (160, 96), (320, 192)]),
        ('larger.ts', 'libx264', 'yuv420p', [(160, 96), (320, 192)]),
        ('turned.ts', 'libx264', 'yuv420p', [(320, 192), (192, 320)]),
    ],
)
def test_sizes_that_change(tmp_path, name, codec, pix_fmt, change):
    sizes = [size for size in change for _ in range(12)]
    path = write(tmp_path / name, codec, (pix_fmt,) * len(sizes), sizes, options={'bf': '0'})
    frames = assert_healthy(path, len(sizes), step=0)
    assert [frame.image.shape[1::-1] for frame in frames] == sizes
    assert_shown_again(frames[10:14])


@pytest.mark.parametrize(('suffix', 'rate'), [('mkv', 10), ('flv', 10), ('mp4', 10), ('h264', 25)])
def test_a_length_that_is_not_known(tmp_path, suffix, rate):
    """A recorder that writes to a pipe, or is killed, states no length."""
    container = {'mkv': 'matroska'}.get(suffix, suffix)
    parts = {'movflags': 'frag_keyframe+empty_moov'} if suffix == 'mp4' else {}
    path = write(
        tmp_path / f'live.{suffix}',
        rate=rate,
        options={'g': '10'},
        container=container,
        container_options=parts,
        to=Unseekable(),
    )
    frames = assert_healthy(path, step=1 / rate)
    assert_shown_again(frames)
    before = read_frame_at(path, frames[20].offset - 0.4)
    assert error(before, 20 - round(0.4 * rate)) < CLOSE


def test_a_recorder_that_was_killed(tmp_path):
    path = write(tmp_path / 'v.mkv', options={'g': '10'}, container='matroska', to=Unseekable())
    path.write_bytes(path.read_bytes()[:-700])
    frames, _ = read(path)
    assert 30 < len(frames) <= 40
    assert_shown_again(frames)


def joined(folder, suffix, counts, rate=10):
    """Recordings of which each begins at time 0, in one file; frames count on."""
    content = b''
    for part, count in enumerate(counts):
        path = folder / f'part{part}.{suffix}'
        first = sum(counts[:part])
        times = [number / rate for number in range(count)]
        write_from(path, first, times, rate)
        part_content = path.read_bytes()
        if suffix == 'flv' and content:
            part_content = part_content[13:]  # its header
        content += part_content
        path.unlink()
    whole = folder / f'joined.{suffix}'
    whole.write_bytes(content)
    return whole


def write_from(path, first, times, rate):
    with av.open(str(path), 'w') as out:
        stream = out.add_stream('libx264', rate=rate, options={'bf': '2', 'g': '20'})
        stream.width, stream.height, stream.pix_fmt = 160, 96, 'yuv420p'
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(scene(first + number), format='bgr24')
            frame.pts = round(time * rate)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())


@pytest.mark.parametrize(
    ('suffix', 'counts'),
    [('ts', [40, 40]), ('ts', [40, 40, 40]), ('flv', [40, 40]), ('ts', [40, 4])],
)
def test_a_clock_that_starts_again(tmp_path, suffix, counts):
    path = joined(tmp_path, suffix, counts)
    frames = assert_healthy(path, sum(counts))
    assert_shown_again(frames)
    sampled, problems = read(path, Reading(fps=2, provenance=Provenance(start_time=1000.0)))
    assert problems == []
    wanted = range(0, sum(counts), 5)
    assert [frame.frame for frame in sampled] == pytest.approx(list(wanted), abs=1)
    assert np.diff([frame.offset for frame in sampled]) == pytest.approx(0.5, abs=0.01)
    assert [frame.time - frame.offset for frame in sampled] == pytest.approx([1000.0] * len(wanted))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-50, 50), st.integers(1, 20), st.sampled_from([0.04, 0.1, 1.0])),
        min_size=1,
        max_size=6,
    )
)
def test_offsets_grow_whatever_a_clock_does(parts):
    """Parts of a recording with a clock that is set, at rates that change, and times of none."""
    tick = 1 / 90000
    clock = Clock(tick, 0.1)
    offsets, steps = [], []
    for start, count, step in parts:
        clock.restart()
        stamps = [round((start + number * step) / tick) * tick for number in range(count)]
        offsets += [clock.offset(stamp) for stamp in stamps]
        steps += [step] * (count - 1) + [None]
    assert offsets[0] >= 0 and np.all(np.diff(offsets) > 0)
    for place, step in enumerate(steps[:-1]):
        if step is not None:  # within a part time runs as it does there
            assert offsets[place + 1] - offsets[place] <= step + 1e-4
    assert clock.offset(None) > offsets[-1]


def test_frames_of_the_first_clock_are_known_by_their_offsets():
    clock = Clock(1 / 90000, 0.1)
    offsets = [clock.offset(time) for time in (0.0, 0.1, 0.2)]
    clock.restart()  # of which the decoder shows one frame more
    offsets += [clock.offset(time) for time in (0.3, 0.0, 0.1)]
    assert offsets == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5], abs=1e-5)
    assert [clock.is_first(offset) for offset in offsets] == [True] * 4 + [False] * 2


def test_frames_that_come_late_behind_lost_ones_change_no_clock():
    clock = Clock(1 / 90000, 0.1)
    offsets = [clock.offset(time) for time in (0.0, 0.1, 0.2, 1.2, 0.3, 1.4, 1.5)]
    assert offsets == pytest.approx([0.0, 0.1, 0.2, 1.2, 1.2125, 1.4, 1.5])


def test_healthy_videos_are_not_reported_and_count_as_done(tmp_path):
    pause = [0.1 * number + (30.0 if number >= 30 else 0.0) for number in range(60)]
    uneven = np.cumsum([0.0, *([0.08, 0.12, 0.1, 0.2] * 10)]).tolist()
    late = [5.0 + 0.1 * number for number in range(40)]
    paths = [
        write(tmp_path / 'sound.mkv', sound=12.0),
        write(tmp_path / 'sound.mp4', sound=12.0),
        write(tmp_path / 'pause.webm', 'libvpx-vp9', ('yuv420p',) * 60, times=pause),
        write(tmp_path / 'uneven.mp4', pix_fmts=('yuv420p',) * 41, times=uneven),
        write(tmp_path / 'late.mkv', times=late),
        write(tmp_path / 'late.ts', times=late),
        write(tmp_path / 'open.ts', options={'g': '10', 'x264-params': 'open-gop=1'}),
        write(tmp_path / 'refresh.ts', options={'g': '10', 'x264-params': 'intra-refresh=1'}),
    ]
    for path in paths:
        frames, problems = read(path)
        assert problems == [], path
        assert len(frames) == {'pause.webm': 60, 'uneven.mp4': 41}.get(path.name, 40)
        assert max(errors(frames)) < CLOSE
        assert_shown_again(frames[::7])
        for fps in (2, None):
            skip = {(frame.source, frame.frame) for frame in read(path, Reading(fps=fps))[0]}
            again = Reading(fps=fps, skip=skip)
            assert reading_module._is_done(str(path), 0, video_info(str(path)), again)
            missing = Reading(fps=fps, skip=skip - {max(skip)})
            assert not reading_module._is_done(str(path), 0, video_info(str(path)), missing)


@pytest.mark.parametrize('suffix', ['mkv', 'webm', 'flv', 'avi', 'mov'])
@pytest.mark.parametrize('share', [0.6, 0.8])
def test_a_file_that_was_cut_is_reported(tmp_path, suffix, share):
    codec = {'webm': 'libvpx', 'avi': 'mpeg4'}.get(suffix, 'libx264')
    parts = {'movflags': 'faststart'} if suffix == 'mov' else {}
    options = {'bf': '0'}
    path = write(tmp_path / f'v.{suffix}', codec, options=options, container_options=parts)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    frames, (problem,) = read(path)
    assert 'breaks off after' in problem.message
    assert frames and max(errors(frames[:-1]), default=0.0) < CLOSE


def test_packets_that_were_lost_are_reported(tmp_path):
    path = write(tmp_path / 'v.ts', options={'g': '40', 'bf': '0'})
    content = path.read_bytes()
    packets = [content[at : at + 188] for at in range(0, len(content), 188)]
    middle = len(packets) // 2
    path.write_bytes(b''.join(packets[: middle - 3] + packets[middle + 3 :]))
    _, (problem,) = read(path)
    assert 'cannot be decoded' in problem.message or 'damaged' in problem.message


def test_frames_before_the_first_key_frame_are_no_damage(tmp_path):
    """A dump of a stream begins anywhere."""
    path = write(tmp_path / 'v.ts', options={'g': '15', 'bf': '0'})
    content = path.read_bytes()
    path.write_bytes(content[188 * 8 :])
    frames, problems = read(path)
    assert problems == [] and len(frames) >= 25
    assert_shown_again(frames)


def test_lengths_for_the_times_of_files(tmp_path):
    late = [5.0 + 0.1 * number for number in range(40)]
    paths = [
        write(tmp_path / 'live.mkv', container='matroska', to=Unseekable()),
        write(tmp_path / 'sound.mkv', sound=12.0),
        write(tmp_path / 'late.mkv', times=late),
        write(tmp_path / 'v.mp4'),
        joined(tmp_path, 'ts', [20, 20]),
    ]
    for path in paths:
        os.utime(path, (5000.0, 5000.0))
        frames, _ = read(path, Reading(provenance=Provenance(file_times=True)))
        assert frames[0].time == pytest.approx(4996.0, abs=0.2), path
    raw = write(tmp_path / 'raw.h264')
    frames, _ = read(raw, Reading(provenance=Provenance(file_times=True)))
    assert frames[0].time is None  # it does not tell


@pytest.mark.parametrize('kind', ['zero', 'noise', 'drop'])
@pytest.mark.parametrize(
    ('suffix', 'codec'),
    [('mov', 'libx264'), ('mkv', 'libx264'), ('ts', 'libx264'), ('avi', 'mjpeg'), ('flv', 'flv')],
)
@pytest.mark.parametrize('start', [0.3, 0.55])
def test_frames_behind_a_damaged_spot_are_shown_again(tmp_path, suffix, codec, kind, start):
    pix_fmt = 'yuvj420p' if codec == 'mjpeg' else 'yuv420p'
    parts = {'movflags': 'faststart'} if suffix == 'mov' else {}
    options = {'g': '10'}
    path = write(
        tmp_path / f'v.{suffix}', codec, (pix_fmt,) * 60, options=options, container_options=parts
    )
    frames, problems = read(damaged(path, start, 0.12, kind))
    assert len(problems) == 1 and 5 <= len(frames) <= 60
    assert all(before.offset < after.offset for before, after in pairwise(frames))
    assert_shown_again(frames, most=1.0)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.data())
def test_no_damage_ends_the_process(tmp_path_factory, data):
    """Whatever bytes are changed: frames, a problem or both, in growing times."""
    folder = tmp_path_factory.getbasetemp() / 'changed'
    folder.mkdir(exist_ok=True)
    suffix, codec = data.draw(
        st.sampled_from(
            [('mp4', 'libx264'), ('mkv', 'libvpx-vp9'), ('ts', 'mpeg2video'), ('avi', 'mjpeg')]
        )
    )
    whole = folder / f'{codec}.{suffix}'
    if not whole.exists():
        pix_fmt = 'yuvj420p' if codec == 'mjpeg' else 'yuv420p'
        write(whole, codec, (pix_fmt,) * 20, rate=25, options={'g': '6'})
    content = bytearray(whole.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        change = data.draw(st.binary(min_size=1, max_size=40))
        content[at : at + len(change)] = change
    broken = folder / f'broken.{suffix}'
    broken.write_bytes(content)
    frames, problems = read(broken)
    assert frames or problems
    assert np.all(np.diff([frame.offset for frame in frames]) > 0)


@pytest.mark.parametrize('suffix', ['mp4', 'mkv', 'webm', 'ivf'])
def test_av1_is_read(tmp_path, suffix):
    assert_healthy(write(tmp_path / f'v.{suffix}', 'libsvtav1'))


def test_an_unknown_codec_is_named(tmp_path):
    path = write(tmp_path / 'v.mp4')
    path.write_bytes(path.read_bytes().replace(b'avc1', b'xyz9'))
    frames, (problem,) = read(path)
    assert frames == []
    assert 'no decoder for its codec (xyz9)' in problem.message
    assert 'ffmpeg' in problem.message
    with pytest.raises(ValueError, match='xyz9'):
        read_frame(path, 0)


@pytest.mark.parametrize('degrees', [90, 180, 270])
def test_frames_are_turned_as_players_turn_them(tmp_path, degrees):
    path = write(tmp_path / 'v.mp4', pix_fmts=('yuv420p',) * 5, rotation=degrees)
    frames, problems = read(path)
    assert problems == []
    for frame in frames:
        assert error(np.rot90(frame.image, -degrees // 90), frame.frame) < CLOSE
    info = video_info(str(path))
    assert (info.width, info.height) == frames[0].image.shape[1::-1]
    assert_shown_again(frames)


@pytest.mark.parametrize('suffix', ['ts', 'mkv', 'mp4'])
def test_a_frame_of_a_large_file_is_found_without_reading_it(tmp_path, suffix, monkeypatch):
    path = write(tmp_path / f'v.{suffix}', pix_fmts=('yuv420p',) * 200, options={'g': '20'})
    frames, _ = read(path)
    monkeypatch.setattr(videos_module, '_LARGE', 1000)
    monkeypatch.setattr(videos_module, 'packets_of', None)
    assert_shown_again(frames[::23])


def test_a_large_file_whose_clock_starts_again(tmp_path, monkeypatch):
    path = joined(tmp_path, 'ts', [80, 40])
    frames, _ = read(path)
    monkeypatch.setattr(videos_module, '_LARGE', 1000)
    assert_shown_again(frames[::7])


def test_what_a_video_shows_at_a_time(tmp_path):
    path = write(
        tmp_path / 'v.webm', 'libvpx-vp9', ('yuv420p',) * 6, times=[0, 0.1, 3, 3.1, 9, 9.1]
    )
    for time, number in ((0.0, 0), (0.05, 0), (0.1, 1), (2.9, 1), (3.0, 2), (8.0, 3), (9.15, 5)):
        assert error(read_frame_at(path, time), number) < CLOSE
    for time in (-0.1, 30.0):
        with pytest.raises(ValueError, match='shows nothing'):
            read_frame_at(path, time)


def test_the_cover_of_a_piece_of_music_is_no_reason_to_pass_over_a_video(tmp_path):
    (tmp_path / 'v.mkv').write_bytes(b'')
    _, (problem,) = read(tmp_path / 'v.mkv')
    assert 'cannot be opened' in problem.message
