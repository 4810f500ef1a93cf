from dataclasses import replace

import numpy as np
import pytest

from mmps.synthetic import scene as scene_module
from mmps.synthetic.appearance import Pose, sample_appearance
from mmps.synthetic.camera import NUM_CAMERAS, develop, make_cameras
from mmps.synthetic.person import Sprite, draw_person
from mmps.synthetic.scene import MIN_VISIBLE, compose, tight_box

SIZE = (480, 270)


def look(seed: int = 0, **changes: object):
    return replace(sample_appearance(np.random.default_rng(seed), seed), **changes)


def pose(yaw: float = 0.0) -> Pose:
    return Pose(yaw, 0.15, 0.7, 0.3, 'swing')


def test_tight_box_of_a_hand_made_sprite() -> None:
    alpha = np.zeros((10, 8), np.float32)
    alpha[2:7, 3:5] = 1
    alpha[0, 0] = 0.1
    sprite = Sprite(np.zeros((10, 8, 3), np.float32), alpha, (4, 10))
    assert tight_box(sprite, 100, 50, SIZE) == (99, 42, 101, 47)
    assert tight_box(sprite, 0, 50, SIZE) == (0, 42, 1, 47)
    assert tight_box(sprite, 480, 4, SIZE) == (479, 0, 480, 1)


@pytest.mark.parametrize('yaw', [0, np.pi / 2, np.pi, 4.0])
@pytest.mark.parametrize('pixels', [50, 180])
def test_a_person_is_as_tall_as_asked_and_stands_on_the_foot(yaw: float, pixels: int) -> None:
    sprite = draw_person(look(stature=1.0, hat='none', hair_style='short'), pose(yaw), pixels)
    rows, columns = (np.flatnonzero(sprite.mask.any(axis)) for axis in (1, 0))
    assert rows[-1] - rows[0] + 1 == pytest.approx(pixels, rel=0.09)
    assert 0.15 * pixels < columns[-1] - columns[0] < 0.8 * pixels
    assert sprite.foot[1] == pytest.approx(rows[-1], abs=0.06 * pixels)
    assert sprite.rgb.shape == (*sprite.alpha.shape, 3)
    assert sprite.alpha.max() <= 1.0001
    assert (sprite.rgb >= 0).all()


def test_a_backpack_is_seen_from_behind_and_a_print_from_the_front() -> None:
    pack = dict(bag='backpack', bag_colour=5, bag_accent=5, top='sweater', top_colour=1)
    pack |= dict(pattern='plain', scarf=False, hair_style='short', hat='none', is_dress=False)

    def red_share(yaw: float, **changes: object) -> float:
        sprite = draw_person(look(1, **{**pack, **changes}), pose(yaw), 160)
        upper = slice(int(0.2 * len(sprite.rgb)), int(0.42 * len(sprite.rgb)))
        colour = sprite.rgb[upper][sprite.mask[upper]]
        return float(((colour[:, 0] > 70) & (colour[:, 1] < 0.5 * colour[:, 0])).mean())

    assert red_share(np.pi) > 2 * red_share(0.0) > 0
    plain = {'bag': 'none', 'pattern': 'print', 'accent': 5, 'skin': 0}
    assert red_share(0.0, **plain) > red_share(np.pi, **plain) + 0.05


def test_clothes_are_kept_whatever_the_pose() -> None:
    white = look(2, top='sweater', top_colour=1, pattern='plain', bag='none', scarf=False)
    means = []
    for yaw in (0.0, np.pi / 2, np.pi):
        sprite = draw_person(replace(white, hair_style='short', hat='none'), pose(yaw), 160)
        chest = sprite.rgb[int(0.25 * len(sprite.rgb)), :][sprite.mask[int(0.25 * len(sprite.rgb))]]
        means.append(chest.mean())
    assert min(means) > 150


@pytest.mark.parametrize('camera', range(NUM_CAMERAS))
def test_scene_boxes_and_visibility(camera: int) -> None:
    for seed in range(2):
        people = [(k + 1, look(k)) for k in range(4)] + [(-1, look(9))]
        scene = compose(0, camera, SIZE, people, np.random.default_rng([camera, seed]))
        assert scene.image.shape == (270, 480, 3)
        assert scene.image.dtype == np.uint8
        assert set(scene.person_ids) <= {-1, 1, 2, 3, 4}
        assert len(scene.person_ids) >= 4
        sides = scene.boxes[:, 2:] - scene.boxes[:, :2]
        assert (sides > 3).all()
        assert (scene.boxes[:, :2] >= 0).all()
        assert (scene.boxes[:, 2:] <= SIZE).all()
        assert (scene.visible >= MIN_VISIBLE).all()
        assert (scene.visible <= 1).all()


def test_boxes_are_tight_around_what_is_drawn() -> None:
    """The drawn pixels reach every edge of the box and none lies beyond it."""
    placed = scene_module._place_people(
        make_cameras(0)[0], SIZE, [(1, look(3))], np.random.default_rng(5)
    )
    thing = placed[0]
    canvas = np.zeros((270, 480, 3), np.float32)
    scene_module.paste(canvas, replace_rgb(thing.sprite), thing.x, thing.y)
    x1, y1, x2, y2 = tight_box(thing.sprite, thing.x, thing.y, SIZE)
    drawn = canvas[..., 0] >= 0.4
    assert drawn[y1:y2, x1:x2].any(0)[[0, -1]].all()
    assert drawn[y1:y2, x1:x2].any(1)[[0, -1]].all()
    drawn[y1:y2, x1:x2] = False
    assert not drawn.any()


def replace_rgb(sprite: Sprite) -> Sprite:
    """The sprite in one colour, so that what is drawn equals its alpha."""
    return replace(sprite, rgb=np.repeat(sprite.alpha[..., None], 3, 2))


def test_cameras_differ_in_place_colour_and_scale() -> None:
    cameras = make_cameras(0)
    assert len({camera.place for camera in cameras}) == 6
    grey = np.full((64, 64, 3), 128, np.float32)
    casts = [develop(c, grey, np.random.default_rng(0)).mean((0, 1)) for c in cameras]
    casts = [cast / cast.sum() for cast in casts]
    distances = [np.abs(a - b).sum() for k, a in enumerate(casts) for b in casts[:k]]
    assert min(distances) > 0.02
    assert max(distances) > 0.2
    for camera in cameras:
        low, high = camera.heights
        assert 45 <= 270 * low < 270 * high <= 185
        assert camera.body_height(camera.foot_row(0.4)) == pytest.approx(0.4)
