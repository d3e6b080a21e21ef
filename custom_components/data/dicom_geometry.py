"""Where the slices of a DICOM series lie, from the numbers of their headers (LPS, mm), whoever reads these."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""DICOM's axes point to the left and to the back."""
UNEVEN = 0.1
"""How far a slice may lie off a regular grid, as part of the distance between slices."""
MOST_TILT = float(np.degrees(np.arctan(0.02)))
"""How far the way along the slices may lean to their normal, in degrees (about 1): more is a tilted gantry."""


def normal_of(orientation: ArrayLike) -> NDArray[np.float64]:
    """The normal of slices.

    Args:
        orientation: direction of the rows, then of the columns (6,).

    Example:
        >>> normal_of((1, 0, 0, 0, 1, 0)).tolist()
        [0.0, 0.0, 1.0]
    """
    axes = np.asarray(orientation, dtype=float)
    return np.cross(axes[:3], axes[3:])


def heights_of(positions: Sequence[ArrayLike], orientation: ArrayLike) -> NDArray[np.float64]:
    """Where slices lie along their normal, in mm.

    Args:
        positions: of the slices (N, 3).
        orientation: see `normal_of`.

    Example:
        >>> heights_of([(5, 5, 0), (5, 5, 3)], (1, 0, 0, 0, 1, 0)).tolist()
        [0.0, 3.0]
    """
    return np.asarray(positions, dtype=float) @ normal_of(orientation)


def tilt_of(first: ArrayLike, last: ArrayLike, orientation: ArrayLike) -> float:
    """Degrees between the way from the first to the last slice and their normal, 0 to 90.

    Args:
        first: position of the slice at one end (3,).
        last: the same, at the other end.
        orientation: see `normal_of`.

    Example:
        >>> round(tilt_of((0, 0, 0), (0, 3, 30), (1, 0, 0, 0, 1, 0)), 1)
        5.7
    """
    way, normal = np.subtract(last, first, dtype=float), normal_of(orientation)
    along = way @ normal
    return float(np.degrees(np.arctan2(np.linalg.norm(way - along * normal), abs(along))))


def affine_of(
    orientation: ArrayLike, spacing: Sequence[float], step: float, position: ArrayLike = (0, 0, 0)
) -> NDArray[np.float64]:
    """The affine that leads from column, row and slice to RAS in mm.

    Args:
        orientation: see `normal_of`.
        spacing: distance of the rows, and of the columns, as DICOM has it.
        step: distance of the slices along their normal.
        position: of the first slice (3,).

    Example:
        >>> affine_of((1, 0, 0, 0, 1, 0), (0.8, 0.7), 3, (10, 20, 30))[:3].tolist()
        [[-0.7, 0.0, 0.0, -10.0], [0.0, -0.8, 0.0, -20.0], [0.0, 0.0, 3.0, 30.0]]
    """
    axes = np.asarray(orientation, dtype=float)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = axes[:3] * spacing[1], axes[3:] * spacing[0]
    affine[:3, 2], affine[:3, 3] = normal_of(axes) * step, position
    return LPS_TO_RAS @ affine
