"""Where the voxels of an image lie in the patient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from nibabel.orientations import aff2axcodes
from numpy.typing import ArrayLike

PLANES = ("sagittal", "coronal", "axial")
"""By the axis of the patient that their slices follow: right, anterior, superior."""
OBLIQUE = "oblique"
OBLIQUE_DEGREES = 20.0
"""Slices that are turned further are in none of the three planes. Heads are scanned along the base of the skull, about
15 degrees off the axial plane."""
COARSE = 1.2
"""An axis along which voxels are so much longer than along the others is that of the slices; without one, voxels are
isotropic, and such a volume counts as axial."""
SHEARED = 0.01
"""Largest cosine between two axes that are at right angles, 0.6 degrees."""

EXTENT_MM = (20.0, 2500.0)
"""No side of a scan of a trunk is shorter or longer; what is has its spacing in metres or micrometres, or none."""


class Geometry(NamedTuple):
    """Spacing in mm, the codes of the axes, the plane of the slices, the axis along them, and the shear in degrees."""

    spacing: tuple[float, ...]
    orientation: str
    plane: str
    slice_axis: int
    shear: float


def geometry_of(affine: ArrayLike, *, slice_axis: int | None = None) -> Geometry:
    """Read an affine.

    Args:
        affine: (4, 4) from voxels to mm in RAS.
        slice_axis: where it is known, as in DICOM.

    Example:
        >>> geometry_of(np.diag([-0.8, -0.8, 5.0, 1.0]))[:3]
        ((0.8, 0.8, 5.0), 'LPS', 'axial')
        >>> geometry_of([[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]], slice_axis=2).plane
        'sagittal'
    """
    matrix = np.asarray(affine, dtype=float)
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    axes = matrix[:3, :3] / spacing
    if slice_axis is None:
        slice_axis = _slice_axis(axes, spacing)
    return Geometry(
        tuple(round(float(mm), 4) for mm in spacing),
        "".join(code or "?" for code in aff2axcodes(matrix)),
        plane_of(axes[:, slice_axis]),
        slice_axis,
        float(np.degrees(np.arcsin(min(1.0, _largest_cosine(axes))))),
    )


def is_plausible(extent: Sequence[float]) -> bool:
    """Whether a volume is as large as a part of a body, in mm.

    Example:
        >>> is_plausible((400, 400, 300)), is_plausible((0.4, 0.4, 0.3))
        (True, False)
    """
    return all(EXTENT_MM[0] <= mm <= EXTENT_MM[1] for mm in extent)


def plane_of(normal: ArrayLike) -> str:
    """Name the plane that is at right angles to a direction in the patient.

    Example:
        >>> plane_of([0, 0, -1]), plane_of([0, 0.7, 0.7])
        ('axial', 'oblique')
    """
    parts = np.abs(np.asarray(normal, dtype=float))
    axis = int(parts.argmax())
    degrees = np.degrees(np.arccos(min(1.0, float(parts[axis] / np.linalg.norm(parts)))))
    return OBLIQUE if degrees > OBLIQUE_DEGREES else PLANES[axis]


def _slice_axis(axes: np.ndarray, spacing: np.ndarray) -> int:
    first, second = np.argsort(spacing)[::-1][:2]
    if spacing[first] > COARSE * spacing[second]:
        return int(first)
    return int(np.abs(axes[2]).argmax())


def _largest_cosine(axes: np.ndarray) -> float:
    cosines = np.abs(axes.T @ axes - np.eye(3))
    return float(cosines.max())
