"""How likely a scene is to hold a person, by what the person looks for in scenes."""

from __future__ import annotations

import numpy as np


def scene_factors(filters: np.ndarray, scenes: np.ndarray) -> np.ndarray:
    """Factors of a person's similarities in each scene (Jaffe and Zakhor, WACV 2023).

    The sigmoid of the cosine of two scenes, the person's own and another, both weighted by the
    person's embedding: between .27 and .73.

    Args:
        filters: (Q, 3 * D + 2) float32, of each person; ``SceneHead`` makes them.
        scenes: (I, D) float32 embeddings of scenes.

    Returns:
        (Q, I) float32.

    Raises:
        ValueError: They are of different widths.
    """
    width = scenes.shape[1]
    if filters.shape[1] != 3 * width + 2:
        raise ValueError(
            f'scene filters of {filters.shape[1]} values do not fit scenes of {width}: '
            f'{3 * width + 2} expected; both have to be of one model'
        )
    own, squares, mixed, constants = np.split(filters, [width, 2 * width, 3 * width], axis=1)
    product = own @ scenes.T + constants[:, :1]
    length = squares @ np.square(scenes).T + mixed @ scenes.T + constants[:, 1:]
    cosine = product / np.sqrt(np.maximum(length, 1e-24))
    return (1 / (1 + np.exp(-cosine))).astype(np.float32)
