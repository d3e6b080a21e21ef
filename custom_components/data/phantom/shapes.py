"""Continuous shapes in millimetres: smooth random fields and signed distances (negative inside)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]
Vector = Sequence[float] | NDArray[np.floating]


class SmoothNoise:
    """Stationary random fields of unit variance: sums of plane waves with random directions.

    Being analytic, they have the same value at a point whatever grid they are sampled on.

    Args:
        rng: source of the directions and phases.
        wavelengths: typical wavelength of each field in mm.
        waves: number of plane waves in a field.
    """

    def __init__(self, rng: np.random.Generator, wavelengths: Sequence[float], waves: int = 16) -> None:
        direction = rng.normal(size=(len(wavelengths), waves, 3))
        direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
        length = np.asarray(wavelengths)[:, None, None] * rng.uniform(0.7, 1.5, size=(len(wavelengths), waves, 1))
        self.vectors = (2 * np.pi * direction / length).astype(np.float32).reshape(-1, 3)
        self.phases = rng.uniform(0, 2 * np.pi, size=(len(self.vectors), 1)).astype(np.float32)
        self.waves = waves

    def __call__(self, points: Floats) -> Floats:
        """Values (fields, ...) at points (3, ...)."""
        angles = self.vectors @ points.reshape(3, -1)
        angles += self.phases
        waves = np.cos(angles, out=angles).reshape(-1, self.waves, angles.shape[1])
        return (waves.sum(axis=1) * np.float32(np.sqrt(2 / self.waves))).reshape(-1, *points.shape[1:])


def rotation_matrix(degrees: ArrayLike) -> NDArray[np.float64]:
    """Rotation about x, then y, then z.

    Example:
        >>> rotation_matrix((0, 0, 90)).round(3)[:, 0].tolist()
        [0.0, 1.0, 0.0]
    """
    rotation = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(np.asarray(degrees, float))):
        turn = np.eye(3)
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        rotation = turn @ rotation
    return rotation


def ellipsoid(
    points: Floats,
    centre: Vector,
    semi_axes: Vector,
    degrees: Vector | None = None,
) -> Floats:
    """Approximate signed distance to an ellipsoid, exact at its surface to first order.

    Args:
        points: (3, ...) in mm.
        centre: mm.
        semi_axes: mm, along the ellipsoid's own axes.
        degrees: rotation of these axes about x, y, z.
    """
    turn = np.eye(3) if degrees is None else rotation_matrix(degrees).T
    level = np.float32(0)
    slope = np.float32(0)
    shifted = [axis - np.float32(c) for axis, c in zip(points, centre, strict=True)]
    for row, semi in zip(turn, semi_axes, strict=True):
        local = sum(np.float32(r / semi) * axis for r, axis in zip(row, shifted, strict=True) if abs(r) > 1e-9)
        square = local * local
        level = level + square
        slope = slope + square * np.float32(1 / semi**2)
    level = np.sqrt(level)
    return level * (level - 1) / np.sqrt(slope + np.float32(1e-9))


def smooth_union(first: Floats, second: Floats, blend: float) -> Floats:
    """Union of two shapes whose seam is rounded over `blend` mm."""
    overlap = np.maximum(np.float32(blend) - np.abs(first - second), 0)
    return np.minimum(first, second) - overlap * overlap * np.float32(0.25 / blend)


def smooth_curve(points: ArrayLike, per_segment: int = 4) -> NDArray[np.float64]:
    """Catmull-Rom curve through the rows of `points` (any number of columns), ends included.

    Example:
        >>> smooth_curve([[0.0], [1.0], [2.0]], per_segment=2).ravel().tolist()
        [0.0, 0.4375, 1.0, 1.5625, 2.0]
    """
    knots = np.asarray(points, float)
    padded = np.concatenate([knots[:1], knots, knots[-1:]])
    t = np.linspace(0, 1, per_segment, endpoint=False)[:, None]
    pieces = [
        0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False)
    ]
    return np.concatenate([*pieces, knots[-1:]])


def cone(points: Floats, start: ArrayLike, end: ArrayLike) -> Floats:
    """Signed distance to a round cone from `start` to `end`, each (x, y, z, radius) in mm."""
    a, b = np.asarray(start, float), np.asarray(end, float)
    axis = b[:3] - a[:3]
    length2 = max(float(axis @ axis), 1e-6)
    x, y, z = (p - np.float32(c) for p, c in zip(points, a, strict=False))
    u, v, w = (axis / length2).astype(np.float32)
    projection = u * x + v * y + w * z
    along = np.minimum(np.maximum(projection, 0), 1)
    square = x * x + y * y + z * z + np.float32(length2) * along * (along - 2 * projection)
    return np.sqrt(np.maximum(square, 0)) - (np.float32(a[3]) + np.float32(b[3] - a[3]) * along)
