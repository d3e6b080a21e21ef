"""Move the outline of an organ to where its grey ends."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from custom_components.anatomy import INDEX, JUDGED_ORGANS

Floats = NDArray[np.floating]
Labels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

LEAST_VOXELS = 30
"""An organ of fewer voxels keeps its outline."""


def refine_outlines(
    image: Floats,
    labels: Labels,
    *,
    spacing: Sequence[float],
    organs: Sequence[str] = JUDGED_ORGANS,
    reach_mm: float = 6.0,
    sigma_mm: float = 8.0,
    hold: float = 0.1,
    least_contrast: float = 0.09,
    fragment_ml: float = 60.0,
) -> Labels:
    """Give the voxels at an organ's surface to the side whose grey is nearer.

    A network that has seen other contrast draws an organ's outline a voxel off even where the eye sees the edge. Near
    the surface each voxel is compared with the mean grey inside of the organ and outside of it, each taken close by; it
    changes sides where it is nearer to the other one's, by more than `hold`. It only moves between the organ and the
    background. Where inside and outside look alike, the outline stays. What is too small to be an organ only shrinks:
    it may be a false one, painted where the body has none, and would grow into what it lies on.

    Args:
        image: (X, Y, Z), greys in [0, 1].
        labels: (X, Y, Z), numbers of our classes.
        spacing: voxel size in mm.
        organs: whose outlines move, one after the other.
        reach_mm: from the outline, how far a voxel may change sides; one voxel at least.
        sigma_mm: of the Gaussian that weighs what is close by.
        hold: share of the contrast by which a voxel must be beyond the middle grey to change sides.
        least_contrast: difference of the greys below which the outline stays.
        fragment_ml: volume below which an outline only shrinks.

    Returns:
        New labels of the same shape.

    Source:
        the local means of Lankton and Tannenbaum 2008 (IEEE TIP 17(11)), in one step and without their curve.

    Example:
        >>> image, labels = np.zeros((12, 12, 12)), np.zeros((12, 12, 12), np.uint8)
        >>> image[2:9, 2:10, 2:10], labels[2:10, 2:10, 2:10] = 0.8, INDEX["liver"]
        >>> refined = refine_outlines(image, labels, spacing=(6, 6, 6))
        >>> [int((one == INDEX["liver"]).sum()) for one in (labels, refined)]
        [512, 448]
    """
    refined = labels.copy()
    sizes = [float(mm) for mm in spacing]
    voxel_ml = float(np.prod(sizes)) / 1000
    near = _ball([max(1.0, reach_mm / mm) for mm in sizes])
    sigma = [sigma_mm / mm for mm in sizes]
    margins = [int(np.ceil(4 * wide)) + reach // 2 + 1 for wide, reach in zip(sigma, near.shape, strict=True)]
    for name in organs:
        index = INDEX[name]
        mask = refined == index
        if np.count_nonzero(mask) < LEAST_VOXELS:
            continue
        (found,) = ndimage.find_objects(mask.view(np.uint8))
        box = tuple(slice(max(0, one.start - more), one.stop + more) for one, more in zip(found, margins, strict=True))
        part = refined[box]
        inside = _belongs_inside(image[box], part == index, near, sigma, hold, least_contrast)
        if np.count_nonzero(mask) * voxel_ml >= fragment_ml:
            part[inside & (part == 0)] = index
        part[~inside & (part == index)] = 0
    return refined


def _belongs_inside(
    image: Floats, mask: Mask, near: Mask, sigma: Sequence[float], hold: float, least_contrast: float
) -> Mask:
    """The organ with its surface moved."""
    deep, wide = ndimage.binary_erosion(mask, near), ndimage.binary_dilation(mask, near)
    core = deep if np.count_nonzero(deep) >= LEAST_VOXELS / 2 else mask
    within, without = _local_mean(image, core, sigma), _local_mean(image, ~wide, sigma)
    contrast = within - without
    # from -0.5, the grey outside, to 0.5, the grey inside
    side = (image - (within + without) / 2) / np.where(np.abs(contrast) < least_contrast, np.inf, contrast)
    return np.where(wide & ~deep, side + np.where(mask, hold, -hold) > 0, mask)


def _local_mean(image: Floats, mask: Mask, sigma: Sequence[float]) -> Floats:
    """Mean grey of the voxels of a mask close to each voxel; far from all of them, their median."""
    weight = ndimage.gaussian_filter(mask.astype(np.float32), sigma)
    total = ndimage.gaussian_filter(np.where(mask, image, 0).astype(np.float32), sigma)
    median = float(np.median(image[mask])) if mask.any() else 0.0
    return np.where(weight > 0.02, total / np.maximum(weight, 1e-6), median)


def _ball(radii: Sequence[float]) -> Mask:
    """All offsets within an ellipsoid."""
    axes = np.ogrid[tuple(slice(-int(radius), int(radius) + 1) for radius in radii)]
    squares = [(axis / radius) ** 2 for axis, radius in zip(axes, radii, strict=True)]
    return np.asarray(squares[0] + squares[1] + squares[2] <= 1 + 1e-6)
