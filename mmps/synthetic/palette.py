"""The colours every identity shares, so that colour alone identifies no one."""

import numpy as np

Colour = np.ndarray


def _rgb(*values: tuple[int, int, int]) -> np.ndarray:
    colours = np.array(values, np.float32)
    colours.setflags(write=False)
    return colours


CLOTHES = _rgb(
    (38, 38, 44),  # black
    (232, 229, 222),  # white
    (122, 126, 132),  # grey
    (36, 48, 96),  # navy
    (72, 120, 190),  # blue
    (184, 42, 46),  # red
    (46, 112, 72),  # green
    (222, 178, 62),  # yellow
    (122, 84, 56),  # brown
    (206, 128, 152),  # pink
)
"""(10, 3) RGB, 0..255: tops, bottoms, prints, hats and bags all draw from these."""

OUTFITS = (
    (0, 3),
    (0, 2),
    (1, 0),
    (1, 3),
    (1, 8),
    (2, 0),
    (2, 3),
    (3, 2),
    (3, 8),
    (4, 0),
    (4, 1),
    (5, 0),
    (5, 3),
    (6, 0),
    (6, 8),
    (7, 3),
    (8, 0),
    (8, 2),
    (9, 1),
    (9, 0),
)
"""(top, bottom) rows of `CLOTHES`; every pair dresses many identities."""

SKINS = _rgb((238, 204, 180), (222, 178, 148), (196, 146, 112), (150, 104, 76), (104, 70, 52))
HAIRS = _rgb((32, 26, 24), (74, 48, 34), (128, 88, 52), (196, 160, 100), (150, 148, 146))
SHOES = _rgb((34, 32, 34), (226, 226, 224), (108, 74, 50), (150, 40, 44))
