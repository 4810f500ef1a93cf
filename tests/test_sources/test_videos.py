import numpy as np
import pytest
from helpers.numbered_frames import number_of, numbered_frame

from mmps.sources.video_file import VideoFile
from mmps.sources.videos import (
    BrokenVideoError,
    Sampling,
    VideoInfo,
    read_video,
    read_video_frame,
    video_info,
)
from mmps.visualization import write_video


@pytest.fixture(scope='module')
def video(tmp_path_factory):
    """120 numbered frames, 25 per second."""
    path = tmp_path_factory.mktemp('video') / 'numbered.mp4'
    write_video(path, map(numbered_frame, range(120)), 25)
    return str(path)


def test_every_frame_comes_with_its_number_and_time(video):
    frames = list(read_video(video))
    assert [number for number, _, _ in frames] == list(range(120))
    assert [number_of(image) for _, _, image in frames] == list(range(120))
    np.testing.assert_allclose([offset for _, offset, _ in frames], np.arange(120) / 25, atol=1e-3)


def test_sampling_takes_the_first_frame_of_each_period(video):
    frames = list(read_video(video, fps=2))
    # 25 frames per second: half seconds fall on 0, between 12 and 13, on 25, ...
    assert [number for number, _, _ in frames] == [0, 13, 25, 38, 50, 63, 75, 88, 100, 113]
    assert [number_of(image) for _, _, image in frames] == [n for n, _, _ in frames]


def test_sampling_faster_than_the_video_takes_every_frame_once(video):
    assert [number for number, _, _ in read_video(video, fps=60)] == list(range(120))


def test_prediction_is_what_is_taken(video):
    info = video_info(video)
    assert info == VideoInfo(120, 25.0, 160, 64)
    for fps in (None, 0.3, 2, 7, 24, 25, 60):
        taken = [number for number, _, _ in read_video(video, fps)]
        assert Sampling(fps).predicted(info) == taken


def test_sampling_of_varying_rates():
    sampling = Sampling(1.0)
    offsets = [0.0, 0.4, 0.9, 1.3, 3.5, 3.9, 4.0, 4.5, 5.2]
    assert [t for t in offsets if sampling.takes(t)] == [0.0, 1.3, 3.5, 4.0, 5.2]


@pytest.mark.parametrize('fps', [0, -1, float('nan')])
def test_rate_must_be_positive(fps):
    with pytest.raises(ValueError, match='must be positive'):
        Sampling(fps)


def test_unwanted_frames_are_not_converted(video, monkeypatch):
    converted = []
    pixels = VideoFile.pixels

    def counting(self, *arguments):
        converted.append(self.number)
        return pixels(self, *arguments)

    monkeypatch.setattr(VideoFile, 'pixels', counting)
    frames = list(read_video(video, fps=5, wanted=lambda frame, sample: sample % 3 == 1))
    assert [number for number, _, _ in frames] == [5, 20, 35, 50, 65, 80, 95, 110]
    assert len(converted) == 8


@pytest.mark.parametrize('number', [0, 1, 57, 119])
def test_a_single_frame(video, number):
    assert number_of(read_video_frame(video, number)) == number
    assert number_of(read_video_frame(video, number, number / 25)) == number


def test_a_single_frame_is_right_though_seeking_is_not(video, monkeypatch):
    def inexact(file, offset, exact):
        return None

    monkeypatch.setattr('mmps.sources.videos._seek', inexact)
    assert number_of(read_video_frame(video, 57)) == 57


def test_a_frame_after_the_end(video):
    with pytest.raises(BrokenVideoError, match=r'numbered.mp4 has no frame 120'):
        read_video_frame(video, 120)


def test_what_is_no_video(tmp_path):
    (tmp_path / 'no.mp4').write_bytes(b'\0' * 5000)
    with pytest.raises(BrokenVideoError, match='cannot be opened'):
        list(read_video(str(tmp_path / 'no.mp4')))


def test_too_large_a_video_is_refused_before_decoding(video):
    with pytest.raises(BrokenVideoError, match='160 x 64 pixels, more than the limit of 10239'):
        next(read_video(video, max_pixels=10239))


def test_a_truncated_video_gives_what_there_is_and_says_so(tmp_path):
    whole, cut = tmp_path / 'whole.avi', tmp_path / 'cut.avi'
    write_video(whole, map(numbered_frame, range(60)), 25)
    content = whole.read_bytes()
    cut.write_bytes(content[: len(content) // 2])
    seen = []
    with pytest.raises(BrokenVideoError, match=r'breaks off after \d+ of 60 frames'):
        for _, _, image in read_video(str(cut)):
            seen.append(number_of(image))
    assert seen == list(range(len(seen)))
    assert 20 <= len(seen) <= 40


def test_frames_broken_in_the_middle_do_not_end_a_video(tmp_path, video):
    with open(video, 'rb') as file:
        content = bytearray(file.read())
    third = len(content) // 3
    content[third : third + 100] = b'\xa5' * 100
    (tmp_path / 'broken.mp4').write_bytes(content)
    frames = []
    with pytest.raises(BrokenVideoError, match=r'\d+ of 120 frames cannot be decoded'):
        for number, offset, image in read_video(str(tmp_path / 'broken.mp4')):
            frames.append((number, offset, image))
    lost = 120 - len(frames)
    assert 1 <= lost < 20
    assert frames[-1][0] == 119
    for number, offset, image in frames:
        assert offset == pytest.approx(number / 25, abs=1e-3)
        if number < 40:  # later ones are decoded from broken ones
            assert number_of(image) == number
