"""What a person wears, sampled once per identity, and the skeleton of a pose.

All identities share the colours, so that colour alone identifies no one.
"""

from dataclasses import dataclass, replace

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

_PAIRS = '03 02 10 13 18 20 23 32 38 40 41 50 53 60 68 73 80 82 91 90'
OUTFITS = tuple((int(top), int(bottom)) for top, bottom in _PAIRS.split())
"""(top, bottom) rows of `CLOTHES`; every pair dresses many identities."""

SKINS = _rgb((238, 204, 180), (222, 178, 148), (196, 146, 112), (150, 104, 76), (104, 70, 52))
HAIRS = _rgb((32, 26, 24), (74, 48, 34), (128, 88, 52), (196, 160, 100), (150, 148, 146))
SHOES = _rgb((34, 32, 34), (226, 226, 224), (108, 74, 50), (150, 40, 44))


TOPS = ('tshirt', 'sweater', 'shirt', 'hoodie', 'jacket', 'open_jacket', 'coat', 'vest', 'suit')
BOTTOMS = ('trousers', 'wide_trousers', 'track_pants', 'shorts', 'skirt', 'long_skirt')
PATTERNS = (
    *('plain', 'hoops', 'pinstripes', 'checks', 'plaid', 'dots', 'print'),
    *('yoke', 'band', 'halves', 'diagonal', 'camouflage'),
)
HAIR_STYLES = ('short', 'long', 'bun', 'ponytail', 'curly', 'bald', 'bob')
HATS = ('none', 'none', 'none', 'none', 'cap', 'beanie', 'brimmed', 'headscarf')
BAGS = ('none', 'none', 'backpack', 'backpack', 'messenger', 'handbag', 'tote')


@dataclass(frozen=True)
class Appearance:
    """Clothing and build of one person. Colours are row numbers of the shared palettes.

    Attributes:
        stature: Body height relative to the mean adult's.
        girth: Width of body and limbs relative to the mean.
        pattern_scale: Period of the pattern relative to its usual size.
    """

    stature: float
    girth: float
    skin: int
    hair: int
    hair_style: str
    beard: bool
    hat: str
    hat_colour: int
    top: str
    top_colour: int
    accent: int
    inner: int
    pattern: str
    pattern_scale: float
    contrast_sleeves: bool
    is_dress: bool
    bottom: str
    bottom_colour: int
    shoes: int
    bag: str
    bag_colour: int
    bag_accent: int
    scarf: bool


def _other(rng: np.random.Generator, taken: int) -> int:
    return int((taken + rng.integers(1, len(CLOTHES))) % len(CLOTHES))


def sample_appearance(rng: np.random.Generator, outfit: int) -> Appearance:
    """Dresses a person at random; `outfit`, modulo the number of `OUTFITS`, picks the colours of
    top and bottom.
    """
    top_colour, bottom_colour = OUTFITS[outfit % len(OUTFITS)]
    slim = rng.random() < 0.5
    styles = HAIR_STYLES if slim else ('short', 'short', 'curly', 'bald', 'short')
    bag_colour = int(rng.integers(len(CLOTHES)))
    return Appearance(
        stature=float(rng.uniform(0.88, 1.0) if slim else rng.uniform(0.94, 1.08)),
        girth=float(rng.uniform(0.82, 1.0) if slim else rng.uniform(0.95, 1.25)),
        skin=int(rng.integers(len(SKINS))),
        hair=int(rng.integers(len(HAIRS))),
        hair_style=str(rng.choice(styles)),
        beard=bool(not slim and rng.random() < 0.3),
        hat=str(rng.choice(HATS)),
        hat_colour=int(rng.integers(len(CLOTHES))),
        top=str(rng.choice(TOPS)),
        top_colour=top_colour,
        accent=_other(rng, top_colour),
        inner=_other(rng, top_colour),
        pattern=str(rng.choice(PATTERNS)),
        pattern_scale=float(rng.choice((0.75, 1.0, 1.4))),
        contrast_sleeves=bool(rng.random() < 0.2),
        is_dress=bool(slim and rng.random() < 0.2),
        bottom=str(rng.choice(BOTTOMS if slim else BOTTOMS[:4])),
        bottom_colour=bottom_colour,
        shoes=int(rng.integers(len(SHOES))),
        bag=str(rng.choice(BAGS)),
        bag_colour=bag_colour,
        bag_accent=_other(rng, bag_colour),
        scarf=bool(rng.random() < 0.12),
    )


def as_mannequin(look: Appearance) -> Appearance:
    """The same clothes on a bald shop-window figure without bag, hat or beard."""
    return replace(look, hair_style='bald', hat='none', bag='none', beard=False, scarf=False)


HIP, SHOULDER, NECK = 0.50, 0.79, 0.86
THIGH, SHIN, UPPER_ARM, FOREARM = 0.235, 0.225, 0.165, 0.145
GESTURES = ('swing', 'swing', 'swing', 'phone', 'pocket')


@dataclass(frozen=True)
class Pose:
    """How a person is standing or walking in one picture.

    Attributes:
        yaw: Turn of the body in radians: 0 faces the camera, pi / 2 walks to the right.
        pitch: Angle at which the camera looks down, in radians.
        phase: Place in the step, in radians.
        stride: Swing of the legs, in radians; near 0 is standing.
        gesture: What the right arm does, one of `GESTURES`.
    """

    yaw: float
    pitch: float
    phase: float
    stride: float
    gesture: str


def sample_pose(rng: np.random.Generator, pitch: float) -> Pose:
    """Draws a pose: any direction, with front, side and back views preferred."""
    yaw = rng.choice(4) * np.pi / 2 + rng.normal(0, 0.3)
    stride = rng.uniform(0.02, 0.12) if rng.random() < 0.3 else rng.uniform(0.25, 0.55)
    return Pose(float(yaw), pitch, rng.uniform(0, 2 * np.pi), stride, str(rng.choice(GESTURES)))


def skeleton(look: Appearance, pose: Pose) -> dict[str, np.ndarray]:
    """Places the joints of a body whose lowest foot touches the ground.

    Returns:
        Joint name to (left, forward, up) in body heights; sided joints end in `_l` or `_r`.
    """
    joints: dict[str, np.ndarray] = {}
    for side, sign in (('l', 1.0), ('r', -1.0)):
        swing = sign * np.sin(pose.phase)
        thigh = pose.stride * swing
        lifting = max(0.0, sign * np.cos(pose.phase))
        knee_bend = 0.06 + pose.stride * (0.15 + 1.5 * lifting)
        hip = np.array([sign * 0.048 * look.girth, 0.0, HIP])
        knee = hip + THIGH * _leg_direction(sign * 0.02, thigh)
        ankle = knee + SHIN * _leg_direction(-sign * 0.01, thigh - knee_bend)
        foot = np.array([sign * 0.018, 0.085, -0.02 - 0.05 * lifting * pose.stride])
        joints |= {f'hip_{side}': hip, f'knee_{side}': knee, f'ankle_{side}': ankle}
        joints[f'toe_{side}'] = ankle + foot
        joints |= _arm(look, pose, side, sign, -swing)
    joints['neck'] = np.array([0.0, 0.008 + 0.03 * pose.stride, NECK])
    joints['pelvis'] = np.array([0.0, 0.0, HIP])
    drop = min(joints[name][2] for name in ('ankle_l', 'ankle_r')) - 0.03
    for joint in joints.values():
        joint[2] -= drop
    return joints


def _leg_direction(outward: float, forward: float) -> np.ndarray:
    return np.array([outward, np.sin(forward), -np.cos(forward)])


def _arm(
    look: Appearance, pose: Pose, side: str, sign: float, swing: float
) -> dict[str, np.ndarray]:
    shoulder = np.array([sign * 0.1 * look.girth, 0.0, SHOULDER])
    angle, bend, outward = 0.75 * pose.stride * swing, 0.12 + 0.6 * pose.stride, 0.13
    if side == 'r' and pose.gesture == 'phone':
        angle, bend = 0.35, 1.5
    elif side == 'r' and pose.gesture == 'pocket':
        angle, bend, outward = -0.35, 0.75, 0.3
    elbow = shoulder + UPPER_ARM * _leg_direction(sign * outward, angle)
    inward = -0.25 if bend > 0.7 else 0.02
    wrist = elbow + FOREARM * _leg_direction(sign * inward, angle + bend)
    hand = wrist + 0.035 * (wrist - elbow) / FOREARM
    joints = dict(shoulder=shoulder, elbow=elbow, wrist=wrist, hand=hand)
    return {f'{name}_{side}': joint for name, joint in joints.items()}
