import numpy as np
import pytest
from helpers.numbered_frames import number_of, numbered_frame

from mmps.sources import read_video, video_info
from mmps.visualization import write_video


@pytest.mark.parametrize('suffix', ['.mp4', '.webm', '.avi'])
def test_what_is_written_is_read(tmp_path, suffix):
    path = tmp_path / 'deep' / f'v{suffix}'
    assert write_video(path, map(numbered_frame, range(30)), 10) == 30
    assert [number_of(image) for _, _, image in read_video(str(path))] == list(range(30))
    info = video_info(str(path))
    assert (info.fps, info.width, info.height) == (10, 160, 64)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_other_shapes_are_fitted_on_black(tmp_path):
    images = [np.full((65, 101, 3), 200, np.uint8), np.full((200, 100, 3), 200, np.uint8)]
    write_video(tmp_path / 'v.avi', images, 5)
    first, second = (image for _, _, image in read_video(str(tmp_path / 'v.avi')))
    assert first.shape == second.shape == (64, 100, 3)
    assert first.min() > 180
    assert second[:, :30].max() < 30 and second[:, 70:].max() < 30
    assert second[5:-5, 40:60].min() > 180


def test_what_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match=r'v\.gif: a video ends in \.mp4, \.webm, \.avi'):
        write_video(tmp_path / 'v.gif', [numbered_frame(0)], 5)
    with pytest.raises(ValueError, match='no image'):
        write_video(tmp_path / 'v.mp4', [], 5)

    def failing():
        yield numbered_frame(0)
        raise OSError('disk')

    with pytest.raises(OSError, match='disk'):
        write_video(tmp_path / 'v.mp4', failing(), 5)
    assert list(tmp_path.iterdir()) == []
