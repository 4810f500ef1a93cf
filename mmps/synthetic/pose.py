"""A walking skeleton: joints in body heights, seen from any side."""

from dataclasses import dataclass

import numpy as np

from mmps.synthetic.appearance import Appearance

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

    Args:
        look: Gives the girth.
        pose: The pose.

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
    return {
        f'shoulder_{side}': shoulder,
        f'elbow_{side}': elbow,
        f'wrist_{side}': wrist,
        f'hand_{side}': hand,
    }
