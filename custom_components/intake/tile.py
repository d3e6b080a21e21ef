"""A small picture of a volume for the contact sheet: a coronal and an axial plane on one scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from custom_components.transforms.plane import cut_plane

BOX = 150
"""Pixels of a side of the square that a plane fits into."""
SOFT_TISSUE_WINDOW = (-160.0, 240.0)
"""HU that are black and white."""
BODY_HU = -300.0
"""What is denser is body: the planes go through its middle, and not through that of the field of view."""


def draw_tile(volume: NDArray, spacing: Sequence[float], *, is_hu: bool) -> NDArray[np.uint8]:
    """Draw the coronal plane on the left and the axial one on the right, millimetres as long in both.

    Args:
        volume: (X, Y, Z) in RAS.
        spacing: in mm.
        is_hu: draw a soft-tissue window; else from the 1st to the 99th percentile.

    Returns:
        (150, 300) grey.

    Example:
        >>> draw_tile(np.zeros((40, 40, 20)), (1, 1, 2), is_hu=True).shape
        (150, 300)
    """
    voxel = _middle(volume, is_hu)
    planes = [cut_plane(volume, plane, voxel) for plane in ("coronal", "axial")]
    window = SOFT_TISSUE_WINDOW if is_hu else tuple(np.percentile(np.concatenate([p.ravel() for p in planes]), (1, 99)))
    x, y, z = (n * mm for n, mm in zip(volume.shape, spacing, strict=True))
    scale = BOX / max(x, y, z)
    tile = np.zeros((BOX, 2 * BOX), np.uint8)
    for number, (plane, height) in enumerate(zip(planes, (z, y), strict=True)):
        picture = _resized(_grey(plane, window), height * scale, x * scale)
        top, left = ((BOX - n) // 2 for n in picture.shape)
        tile[top : top + picture.shape[0], number * BOX + left : number * BOX + left + picture.shape[1]] = picture
    return tile


def _middle(volume: NDArray, is_hu: bool) -> list[int]:
    middle = [n // 2 for n in volume.shape]
    if not is_hu:
        return middle
    body = np.asarray(volume[::4, ::4, middle[2]]) > BODY_HU
    if body.any():
        middle[:2] = [int(4 * np.mean(places)) for places in np.nonzero(body)]
    return middle


def _grey(plane: NDArray, window: Sequence[float]) -> NDArray[np.uint8]:
    low, high = window
    part = (np.asarray(plane, dtype=np.float32) - low) / max(high - low, 1e-6)
    return np.rint(255 * part.clip(0, 1)).astype(np.uint8)


def _resized(picture: NDArray[np.uint8], height: float, width: float) -> NDArray[np.uint8]:
    size = max(1, round(width)), max(1, round(height))
    return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize(size, Image.Resampling.BICUBIC))
