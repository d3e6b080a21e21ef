"""The frame of a phantom's body: from scanner to anatomy coordinates, trunk outline, diaphragm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from custom_components.data.phantom.shapes import Floats, SmoothNoise, rotation_matrix
from custom_components.data.phantom.subject import Subject

# Inner surface of the body wall by height: z, half width, half depth, centre y (mm); L1/L2 is at z = 0.
CAVITY = np.array([
    (-330, 118, 84, 0), (-220, 122, 84, 0), (-150, 124, 80, 6), (-100, 122, 79, 10), (-50, 122, 80, 11),
    (0, 126, 84, 8), (60, 131, 88, 4), (120, 131, 89, 2), (180, 124, 84, 0), (250, 104, 72, -6),
    (330, 80, 60, -10),
], dtype=np.float32)  # fmt: skip

SUPERELLIPSE = 2.35
"""Exponent of the trunk's cross-section: 2 is an ellipse, more is squarer."""

LATERAL_WALL, BACK_MUSCLE, GLUTEAL = 11.0, 25.0, 22.0
"""Thickness (mm) of the wall at the side, added at the back, and added over the pelvis."""

# Diaphragm: height, centre x and y of each dome; half widths lateral, medial, posterior, anterior (mm).
DOMES = {
    "right": (116.0, 62.0, -2.0, 74.0, 120.0, 80.0, 108.0),
    "left": (104.0, -62.0, 2.0, 74.0, 120.0, 80.0, 108.0),
}
DOME_DROP = 90.0

DEFORMATION_WAVELENGTH = 170.0
NOISE_WAVELENGTHS = (70.0, 50.0, 38.0)


class BodyFrame:
    """Smooth fields of one subject, defined everywhere in space.

    Args:
        subject: whose body.
        rng: source of its smooth random fields.
    """

    def __init__(self, subject: Subject, rng: np.random.Generator) -> None:
        self.subject = subject
        self.turn = rotation_matrix(subject.rotation).T
        self.linear: NDArray[np.float64] = self.turn / np.array(subject.scale)[:, None]
        self._bend = SmoothNoise(rng, (DEFORMATION_WAVELENGTH,) * 3)
        self._noise = SmoothNoise(rng, NOISE_WAVELENGTHS)

    @property
    def bulge(self) -> float:
        """How far (mm) the smooth deformation may push a shape out of the box around its sampled outline."""
        return 2.0 + 0.8 * self.subject.deformation

    def _displacement(self, rest: Floats) -> Floats:
        return self._bend(rest) * np.float32(self.subject.deformation)

    def to_world(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scanner coordinates of points (N, 3) of the anatomy, by fixed-point iteration."""
        goal = points.T.astype(np.float32)
        rest = goal
        for _ in range(3):
            rest = goal - self._displacement(rest)
        return np.linalg.solve(self.linear, rest.astype(float)).T

    def fields(self, world: Floats) -> Floats:
        """Fields at points (3, ...) in mm: x, y, z, depth, wall, skin, dome and three noises, (10, ...).

        `depth` is the distance outwards from the inner surface of the body wall, `wall` and `skin` are
        those from the muscle's and the skin's outer surface, `dome` the height above the diaphragm.
        """
        flat = self.linear.astype(np.float32) @ world.reshape(3, -1)
        rest = flat.reshape(world.shape)
        x, y, z = points = rest + self._displacement(rest)
        depth = _depth(x, y, z, self.subject)
        wall = depth - _wall_thickness(x, y, z)
        skin = wall - _fat_thickness(x, y, z, self.subject)
        dome = z - _diaphragm(x, y) - np.float32(self.subject.breath)
        return np.stack([x, y, z, depth, wall, skin, dome, *self._noise(points)]).astype(np.float32)


def _depth(x: Floats, y: Floats, z: Floats, subject: Subject) -> Floats:
    width, height, centre = (np.interp(z, CAVITY[:, 0], CAVITY[:, k]) for k in (1, 2, 3))
    hips = np.clip((-z - 40) / 100, 0, 1)
    width = width * (1 - 0.035 * subject.sex * hips)
    belly = np.clip(1 - np.abs(z + 20) / 150, 0, 1)
    front = y > centre
    height = height * (1 + subject.visceral * belly * np.where(front, 1.6, 0.2))
    width = width * (1 + 0.6 * subject.visceral * belly)
    radius = np.hypot(x, y - centre) + 1e-3
    level = (np.abs(x / width) ** SUPERELLIPSE + np.abs((y - centre) / height) ** SUPERELLIPSE) ** (1 / SUPERELLIPSE)
    return np.asarray(radius - radius / level, np.float32)


def _wall_thickness(x: Floats, y: Floats, z: Floats) -> Floats:
    back = np.exp(-((x / 96) ** 6)) / (1 + np.exp((y + 34) / 11))
    pelvis = np.clip((-z - 95) / 70, 0, 1) / (1 + np.exp((y - 20) / 20))
    return LATERAL_WALL + BACK_MUSCLE * back + GLUTEAL * pelvis * (1 - back)


def _fat_thickness(x: Floats, y: Floats, z: Floats, subject: Subject) -> Floats:
    low = np.clip((40 - z) / 160, 0, 1)
    midline_groove = 0.45 * np.exp(-((x / 14) ** 2)) / (1 + np.exp((y + 60) / 8))
    return 2 + subject.fat * (0.55 + 0.6 * low) * (1 - midline_groove)


def _diaphragm(x: Floats, y: Floats) -> Floats:
    heights = []
    for top, centre_x, centre_y, lateral, medial, posterior, anterior in DOMES.values():
        outwards = (x - centre_x) * np.sign(centre_x)
        u = outwards / np.where(outwards > 0, lateral, medial)
        v = (y - centre_y) / np.where(y > centre_y, anterior, posterior)
        heights.append(top - DOME_DROP * np.hypot(u, v) ** 2.6)
    return np.logaddexp(*(h / 6 for h in heights)) * 6
