import cv2
import numpy as np
import pytest
from helpers.coloured_people import GREEN, LEFT, MIDDLE, coloured_scene

from mmps.visualization import write_image
from mmps.visualization.draw import ACCENT, CELL_HEIGHT, CELL_WIDTH
from mmps.web.scenes import GoneError, cut_out


def pixels(jpeg):
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1).astype(int)


def close(image, colour):
    return (abs(image - colour) < 40).all(-1)


@pytest.fixture
def red(gallery, sources):
    return gallery.people_in(str(sources / 'cam1_a.png'))[0]


@pytest.fixture
def blue(gallery, sources):
    """Somebody in the video, at 1.0 s."""
    return gallery.people_in(str(sources / 'door.mp4'), 10)[0]


def test_a_person_cut_out(service, red):
    crop = pixels(service.scenes.crop(red.id))
    assert crop.shape == (2 * CELL_HEIGHT, 2 * CELL_WIDTH, 3)
    assert close(crop[CELL_HEIGHT, CELL_WIDTH], (20, 20, 220))
    assert close(crop, ACCENT).any()


def test_a_scene(service, red):
    scene = pixels(service.scenes.scene(red.id))
    assert scene.shape == (96, 160, 3) and not close(scene, ACCENT).any()
    assert close(pixels(service.scenes.thumbnail(red.id))[LEFT[1] + 1, 14:30], ACCENT).all()


def test_a_large_scene_is_made_smaller(service, gallery, sources, searcher):
    large = cv2.resize(coloured_scene([(GREEN, LEFT)]), (2000, 1200))
    write_image(sources / 'large.png', large)
    searcher.index(sources / 'large.png', gallery, progress=False)
    (hit,) = gallery.people_in(str(sources / 'large.png'))
    assert pixels(service.scenes.scene(hit.id)).shape == (960, 1600, 3)
    assert pixels(service.scenes.thumbnail(hit.id)).shape == (288, 480, 3)


def test_earlier_and_later_in_a_video(service, blue):
    centre = (MIDDLE[1] + 30, MIDDLE[0] + 12)
    blueness = [
        np.ptp(pixels(service.scenes.scene(blue.id, shift))[centre]) > 80
        for shift in (0, 0.5, -0.5)
    ]
    assert blueness == [True, True, False]
    for shift in (5.0, -5.0):
        with pytest.raises(GoneError):
            service.scenes.scene(blue.id, shift)


def test_an_image_has_no_other_times(service, red):
    with pytest.raises(GoneError, match='not in a video'):
        service.scenes.scene(red.id, 1.0)


@pytest.mark.parametrize('kind', ['crop', 'thumbnail', 'scene', 'source'])
def test_nobody_has_this_id(service, kind):
    with pytest.raises(KeyError):
        getattr(service.scenes, kind)(12345)


def test_whoever_was_deleted_is_not_shown(service, gallery, red):
    service.scenes.crop(red.id)
    gallery.delete([red.id])
    with pytest.raises(KeyError):
        service.scenes.crop(red.id)


def test_a_file_that_is_gone_or_replaced(service, sources, red):
    path = sources / 'cam1_a.png'
    write_image(path, np.zeros((50, 50, 3), np.uint8))
    with pytest.raises(GoneError, match='cam1_a.png'):
        service.scenes.scene(red.id)
    path.unlink()
    with pytest.raises(GoneError, match='cam1_a.png'):
        service.scenes.source(red.id)


def test_the_gallerys_scenes_by_name(service):
    page, total = service.scenes.frames('CAM', 1, 1)
    assert total == 3 and [name for _, name, _ in page] == ['cam2_b.png']
    page, total = service.scenes.frames('door', 0, 10)
    assert [name for _, name, _ in page] == ['door.mp4'] * 4
    assert [when.split('\n')[0] for *_, when in page] == [
        f'0:00:0{s}' for s in (0.0, 0.5, 1.0, 1.5)
    ]
    jpeg = service.scenes.frame_thumbnail(page[2][0])
    assert np.ptp(pixels(jpeg)[MIDDLE[1] + 30, MIDDLE[0] + 12]) > 80


def test_a_scene_that_was_deleted_is_not_shown(service, gallery, sources):
    ((key, *_),), _ = service.scenes.frames('cam1', 0, 10)
    service.scenes.frame_thumbnail(key)
    gallery.delete_source(str(sources / 'cam1_a.png'))
    with pytest.raises(KeyError):
        service.scenes.frame_thumbnail(key)


def test_a_picture_is_made_once(service, red, monkeypatch):
    crop = service.scenes.crop(red.id)
    monkeypatch.setattr(service.scenes, 'pixels', lambda hit: None)
    assert service.scenes.crop(red.id) is crop
    with pytest.raises(GoneError):
        service.scenes.thumbnail(red.id)


def test_a_person_with_surroundings():
    image = np.arange(100 * 80 * 3, dtype=np.uint32).reshape(100, 80, 3).astype(np.uint8)
    cut, bbox = cut_out(image, (20, 30, 40, 50))
    np.testing.assert_array_equal(cut, image[18:62, 8:52])  # 0.6 times 20 on each side
    np.testing.assert_array_equal(bbox, [12, 12, 32, 32])
    cut, bbox = cut_out(image, (0, 0, 40, 100))
    np.testing.assert_array_equal(cut, image[:, :64])
    np.testing.assert_array_equal(bbox, [0, 0, 40, 100])


def test_large_people_are_kept_small():
    cut, bbox = cut_out(np.zeros((3000, 2000, 3), np.uint8), (500, 500, 1000, 1500))
    # 1100 x 2100 pixels with the surroundings that there are
    assert cut.shape == (400, 210, 3) and cut.base is None
    np.testing.assert_allclose(bbox, np.array([300, 500, 800, 1500]) * 400 / 2100, atol=0.5)
