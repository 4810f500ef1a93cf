"""People cut out of images, as re-ID networks take them."""

from collections.abc import Sequence

import cv2
import numpy as np


def cut_people(
    image: np.ndarray, boxes: np.ndarray, size: Sequence[int] = (128, 256)
) -> np.ndarray:
    """Cut boxes out of an image and resize each, without keeping its ratio.

    Boxes are clipped to the image. They are cut where they are, between pixels too: rounded to
    whole pixels, people of 30 x 75 pixels are found worse (docs/real_people.md), and the last bit
    of a coordinate would decide on a whole row.

    Args:
        image: (h, w, 3) uint8.
        boxes: (n, 4) xyxy in its pixels; n may be 0.
        size: Width and height of the crops.

    Returns:
        (n, height, width, 3) uint8.
    """
    width, height = size
    rows, columns = image.shape[:2]
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4).clip(0, [columns, rows] * 2)
    crops = np.empty((len(boxes), height, width, 3), np.uint8)
    for crop, (x1, y1, x2, y2) in zip(crops, boxes, strict=True):
        across, down = (x2 - x1) / width, (y2 - y1) / height
        # Maps the centre of each pixel of the crop to its place in the image.
        places = np.array([[across, 0, x1 + (across - 1) / 2], [0, down, y1 + (down - 1) / 2]])
        cv2.warpAffine(
            image,
            places,
            (width, height),
            dst=crop,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
    return crops
