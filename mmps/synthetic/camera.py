"""Six cameras: each with its own place, scale of people, light, colour cast, blur and noise."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

PLACES = ('street', 'plaza', 'park', 'station', 'arcade', 'campus')
NUM_CAMERAS = len(PLACES)
CAMERA_STREAM = 1
_NOISE_SIDE = 640


@dataclass(frozen=True)
class Camera:
    """Where a camera looks and how it records. Lengths are shares of the image height.

    Attributes:
        place: One of `PLACES`.
        horizon: Row of the horizon.
        growth: Pixels of body height gained per pixel below the horizon.
        heights: Smallest and largest body height.
        pitch: Angle at which it looks down on people, in radians.
        light: Side the light comes from: -1 left .. 1 right.
        shadow: Strength of cast shadows, 0..1.
        gains: Red, green and blue gain.
        saturation: 1 keeps colours, 0 removes them.
        gamma: Exponent of the tone curve; above 1 is darker.
        blur: Sigma of the lens blur for 270 rows, in pixels.
        noise: Sigma of the sensor noise, in grey levels.
        quality: JPEG quality.
    """

    place: str
    horizon: float
    growth: float
    heights: tuple[float, float]
    pitch: float
    light: float
    shadow: float
    gains: tuple[float, float, float]
    saturation: float
    gamma: float
    blur: float
    noise: float
    quality: int

    def foot_row(self, height: float) -> float:
        """Row (share of the image height) on which a body of `height` stands."""
        return self.horizon + height / self.growth

    def body_height(self, foot_row: float) -> float:
        """Body height at a row of the ground; inverse of `foot_row`."""
        return (foot_row - self.horizon) * self.growth


_SETTINGS = (
    # horizon growth  heights        pitch light shadow gains              sat  gamma blur noise
    (0.28, 0.98, (0.22, 0.66), 0.12, 0.55, 0.40, (1.12, 1.08, 0.97), 1.00, 0.95, 0.45, 3.0),
    (0.16, 0.86, (0.21, 0.58), 0.28, -0.6, 0.50, (0.94, 1.04, 1.19), 0.90, 0.92, 0.55, 4.0),
    (0.24, 0.92, (0.21, 0.62), 0.18, 0.30, 0.25, (1.00, 1.18, 0.91), 0.97, 1.04, 0.60, 5.0),
    (0.20, 0.90, (0.22, 0.67), 0.20, -0.1, 0.15, (0.97, 1.08, 1.08), 0.80, 0.90, 0.55, 4.5),
    (0.30, 1.00, (0.24, 0.67), 0.10, -0.4, 0.20, (1.22, 1.02, 0.84), 0.97, 1.00, 0.50, 4.0),
    (0.22, 0.90, (0.21, 0.60), 0.18, 0.50, 0.20, (0.98, 0.90, 1.18), 0.87, 1.07, 0.60, 6.0),
)


@lru_cache(maxsize=8)
def make_cameras(seed: int) -> tuple[Camera, ...]:
    """The six cameras of a data set; their settings vary a little with the seed."""
    cameras = []
    for index, (horizon, *geometry, gains, saturation, gamma, blur, noise) in enumerate(_SETTINGS):
        rng = np.random.default_rng([seed, CAMERA_STREAM, index])
        gains = tuple(float(gain) for gain in np.multiply(gains, rng.uniform(0.95, 1.05, 3)))
        quality = int(rng.integers(86, 95))
        horizon += float(rng.uniform(-0.01, 0.01))
        sensor = gains, saturation, gamma, blur, noise, quality
        cameras.append(Camera(PLACES[index], horizon, *geometry, *sensor))
    return tuple(cameras)


@lru_cache(maxsize=1)
def _noise_bank() -> np.ndarray:
    """Unit noise from which every picture cuts its own; drawing it anew would cost most time."""
    rng = np.random.default_rng(0)
    fine = rng.standard_normal((_NOISE_SIDE, _NOISE_SIDE, 3), np.float32)
    return 0.8 * fine + 0.6 * cv2.GaussianBlur(fine, (0, 0), 0.9) * 2.4


@lru_cache(maxsize=16)
def _vignette(height: int, width: int) -> np.ndarray:
    ys, xs = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return np.repeat((1 - 0.16 * (xs**2 + ys**2)).astype(np.float32)[..., None], 3, 2)


def develop(camera: Camera, scene: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turns the light of a scene, (h, w, 3) float32 RGB, 0..255, into what the camera records,
    (h, w, 3) uint8 RGB; `rng` changes it from picture to picture.
    """
    height, width = scene.shape[:2]
    gains = np.array(camera.gains) * rng.uniform(0.96, 1.04, 3) * rng.uniform(0.9, 1.1)
    saturation = camera.saturation * rng.uniform(0.93, 1.05)
    grey = np.array([[0.3, 0.59, 0.11]] * 3)
    mix = (saturation * np.eye(3) + (1 - saturation) * grey) * gains[:, None]
    image = cv2.transform(scene * _vignette(height, width), mix.astype(np.float32))
    sigma = camera.blur * height / 270 * rng.uniform(0.75, 1.35)
    image = cv2.GaussianBlur(image, (0, 0), sigma)
    gamma = camera.gamma * rng.uniform(0.92, 1.08)
    curve = (255 * (np.arange(256) / 255) ** gamma).astype(np.float32)
    image = cv2.LUT(cv2.convertScaleAbs(np.maximum(image, 0, out=image)), curve)
    bank = _noise_bank()
    if height > _NOISE_SIDE or width > _NOISE_SIDE:
        bank = np.tile(bank, (-(-height // _NOISE_SIDE) + 1, -(-width // _NOISE_SIDE) + 1, 1))
    top = int(rng.integers(bank.shape[0] - height + 1))
    left = int(rng.integers(bank.shape[1] - width + 1))
    image += bank[top : top + height, left : left + width] * np.float32(
        camera.noise * rng.uniform(0.8, 1.2)
    )
    return np.clip(image, 0, 255).astype(np.uint8)
