import subprocess
import sys

import numpy as np
import pytest

from mmps.synthetic.clothes import ALL_OVER, PATTERN_FUNCTIONS
from mmps.synthetic.person import Canvas

GREY = np.array([100, 100, 100], np.float32)


def test_cylinder_has_the_area_of_its_rectangle() -> None:
    canvas = Canvas(60, 40)
    canvas.solid((20, 10), (20, 50), (8, 8), GREY, flat=(True, True))
    assert canvas.alpha.sum() == pytest.approx(16 * 40, rel=0.01)
    assert canvas.alpha[30, 20] == 1
    assert canvas.alpha[30, 5] == 0


def test_ball_has_the_area_of_its_disk() -> None:
    canvas = Canvas(60, 60)
    canvas.solid((30, 30), (30, 30), (12, 12), GREY)
    assert canvas.alpha.sum() == pytest.approx(np.pi * 144, rel=0.02)


def test_cone_widens_as_its_radii_say() -> None:
    canvas = Canvas(80, 80)
    canvas.solid((40, 10), (40, 70), (5, 20, 30), GREY, flat=(True, True))
    widths = canvas.alpha.sum(1)
    assert widths[10:12].mean() == pytest.approx(2 * 5, abs=1.5)
    assert widths[39:41].mean() == pytest.approx(2 * 20, abs=1)
    assert widths[67:70].mean() == pytest.approx(2 * 30, abs=2)


def test_the_side_towards_the_light_is_brighter() -> None:
    for light in (-0.7, 0.7):
        canvas = Canvas(60, 40, light)
        canvas.solid((20, 10), (20, 50), (10, 10), GREY)
        row = canvas.rgb[0, 30]
        assert (row[27] - row[12]) * light > 10


def test_paint_turns_with_the_body() -> None:
    """Front red, back blue: which one is seen depends on the yaw alone."""

    def paint(theta: np.ndarray, position: np.ndarray) -> np.ndarray:
        front = np.cos(theta) > 0
        return np.stack([200.0 * front, 0 * front, 200.0 * ~front]).astype(np.float32)

    for yaw, channel in ((0.0, 0), (np.pi, 2)):
        canvas = Canvas(60, 40)
        canvas.solid((20, 10), (20, 50), (10, 10), paint, yaw=yaw)
        assert canvas.rgb[channel, 30, 20] > 150
        assert canvas.rgb[2 - channel, 30, 20] == 0


def test_later_solids_cover_earlier_ones() -> None:
    canvas = Canvas(40, 40)
    canvas.solid((20, 10), (20, 30), (9, 9), np.array([200, 0, 0], np.float32))
    canvas.solid((20, 10), (20, 30), (5, 5), np.array([0, 200, 0], np.float32))
    assert canvas.rgb[0, 20, 20] == 0
    assert canvas.rgb[1, 20, 20] > 100
    assert canvas.alpha.max() <= 1


def test_nothing_outside_the_canvas_is_painted() -> None:
    canvas = Canvas(20, 20)
    canvas.solid((-50, -50), (-40, -30), (6, 6), GREY)
    assert canvas.alpha.sum() == 0


@pytest.mark.parametrize('name', sorted(PATTERN_FUNCTIONS))
def test_patterns_mix_two_colours_at_every_scale(name: str) -> None:
    u, v = np.meshgrid(np.linspace(-0.3, 0.3, 120), np.linspace(0, 0.35, 100))
    for pixels in (50.0, 180.0):
        weight = PATTERN_FUNCTIONS[name](u, v, pixels)
        assert weight.shape == u.shape
        assert weight.min() >= 0
        assert weight.max() <= 1
        assert 0.01 < weight.mean() < 0.9
    assert set(PATTERN_FUNCTIONS) >= ALL_OVER


def test_rendering_needs_no_deep_learning_library() -> None:
    code = 'import sys, mmps.synthetic; print({"torch", "mmengine", "mmdet"} & set(sys.modules))'
    command = [sys.executable, '-c', code]
    assert subprocess.run(command, capture_output=True, text=True).stdout == 'set()\n'
