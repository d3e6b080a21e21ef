"""Axial, coronal and sagittal planes of a volume, as radiologists look at them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PLANES = ("axial", "coronal", "sagittal")


def cut_plane(volume: np.ndarray, plane: str, voxel: Sequence[int]) -> np.ndarray:
    """Cut an RAS volume; the patient's right (or front) is on the viewer's left, anterior or superior is up.

    Args:
        volume: (X, Y, Z, ...).
        plane: axial, coronal or sagittal.
        voxel: a voxel that the plane goes through.

    Returns:
        (rows, columns, ...), a view of the volume.

    Raises:
        KeyError: there is no such plane.

    Example:
        >>> cut_plane(np.zeros((6, 5, 4)), "sagittal", (0, 0, 0)).shape
        (4, 5)
    """
    x, y, z = voxel
    cuts: dict[str, tuple[int | slice, ...]] = {
        "axial": (slice(None, None, -1), slice(None, None, -1), z),
        "coronal": (slice(None, None, -1), y, slice(None, None, -1)),
        "sagittal": (x, slice(None, None, -1), slice(None, None, -1)),
    }
    return np.swapaxes(volume[cuts[plane]], 0, 1)
