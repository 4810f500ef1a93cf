"""Backpacks, shoulder bags, totes and handbags."""

from typing import TYPE_CHECKING

import numpy as np

from mmps.synthetic.palette import CLOTHES

if TYPE_CHECKING:
    from mmps.synthetic.person import Figure


def add_bag(figure: 'Figure') -> None:
    """Adds the bag that the figure carries, if any."""
    adders = {'backpack': _backpack, 'messenger': _messenger, 'tote': _tote, 'handbag': _handbag}
    adder = adders.get(figure.look.bag)
    if adder is not None:
        colours = CLOTHES[figure.look.bag_colour], CLOTHES[figure.look.bag_accent]
        adder(figure, *colours)


def _backpack(figure: 'Figure', colour: np.ndarray, accent: np.ndarray) -> None:
    px, girth = figure.pixels, figure.look.girth
    centre = np.array([0.0, -0.115 * girth, 0.0])
    side = 0.09 if figure.depth(centre) > 0.03 else -0.04
    width = np.array([0.07, 0.088, 0.09, 0.085])
    radii = figure.width(width, np.array([0.045, 0.06, 0.068, 0.06]))
    figure.add(side, centre + [0, 0, 0.79], centre + [0, 0, 0.6], radii * 0.95, colour)
    pocket = centre + [0, -0.02, 0]
    radii = figure.width(np.array([0.058, 0.062]), np.array([0.05, 0.052]))
    low, high = pocket + [0, 0, 0.6], pocket + [0, 0, 0.66]
    if figure.depth(centre) > -0.08:
        figure.add(side + 0.001, high, low, np.maximum(radii, 0.02 * px), accent)


def _messenger(figure: 'Figure', colour: np.ndarray, accent: np.ndarray) -> None:
    place = np.array([-0.125 * figure.look.girth, -0.02, 0.0])
    depth = figure.depth(place)
    radii = figure.width(np.array([0.03, 0.034]), np.array([0.075, 0.08]))
    high, low = place + [0, 0, 0.545], place + [0, 0, 0.46]
    level = depth + (0.13 if depth > -0.09 else 0.0)
    figure.add(level, high, low, radii, colour, flat=(True, True))
    figure.add(level + 0.001, high, high - [0, 0, 0.035], radii * 1.04, accent, flat=(True, True))


def _tote(figure: 'Figure', colour: np.ndarray, accent: np.ndarray) -> None:
    place = np.array([0.135 * figure.look.girth, -0.01, 0.0])
    depth = figure.depth(place)
    radii = figure.width(np.array([0.03, 0.036, 0.034]), np.array([0.075, 0.085, 0.08]))
    level = depth + (0.14 if depth > -0.09 else 0.0)
    high, low = place + [0, 0, 0.66], place + [0, 0, 0.53]
    figure.add(level, high, low, radii, colour, flat=(True, True))
    band = (place + [0, 0, 0.61], place + [0, 0, 0.585])
    figure.add(level + 0.001, *band, radii[:2] * 1.05, accent, flat=(True, True))


def _handbag(figure: 'Figure', colour: np.ndarray, accent: np.ndarray) -> None:
    hand, px = figure.joints['hand_l'], figure.pixels
    depth = figure.depth(hand) + 0.06
    if figure.depth(hand) < -0.06:
        depth = figure.depth(hand) - 0.01
    grip = hand - [0, 0, 0.03]
    figure.add(depth - 0.001, hand, grip, np.array([0.006, 0.03]) * px, accent * 0.8)
    radii = figure.width(np.array([0.035, 0.042]), np.array([0.06, 0.075]))
    figure.add(depth, grip, grip - [0, 0, 0.075], radii, colour, flat=(True, True))
    clasp = grip - [0, 0, 0.03]
    figure.add(depth + 0.001, grip, clasp, radii, accent, flat=(True, True))
