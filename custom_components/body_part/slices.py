"""The axial slices of a CT as the body-part regressor sees them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch.nn.functional as F
from monai.data import MetaTensor
from numpy.typing import NDArray
from torch import Tensor

PIXELS, PIXEL_MM = 128, 4.0
"""Pixels of a slice along each side, and their size: half a metre, whatever the scan's own field of view."""
HU_WINDOW = (-1000.0, 1000.0)
"""HU that become 0 and 1: air, lung, soft tissue and bone in one."""
STEP_MM = 4.0
"""Least distance of slices that are scored; of thinner ones some are left out."""


class AxialSlices(NamedTuple):
    """Slices of one volume from inferior to superior.

    Attributes:
        images: (N, 128, 128) float32 in [0, 1]; rows run from left to right, columns from posterior to anterior.
        height: (N,) in mm above the volume's first slice.
    """

    images: Tensor
    height: NDArray[np.float64]


def axial_slices(volume: MetaTensor, *, step: float = STEP_MM) -> AxialSlices:
    """Cut a volume into slices of one physical size, centred where the volume is; outside of it is air.

    Args:
        volume: (1, X, Y, Z) in RAS, HU.
        step: least distance of slices in mm; 0 takes all.

    Example:
        >>> import torch
        >>> volume = MetaTensor(torch.zeros(1, 100, 100, 50), affine=np.diag([3.0, 3.0, 2.0, 1.0]))
        >>> slices = axial_slices(volume)
        >>> tuple(slices.images.shape), slices.height[:3].tolist(), float(slices.images[0, 64, 64])
        ((25, 128, 128), [0.0, 4.0, 8.0], 0.5)
    """
    spacing = np.linalg.norm(np.asarray(volume.affine, dtype=float)[:3, :3], axis=0)
    every = max(1, math.floor(step / spacing[2] + 1e-6))
    # of fine pixels the half is enough to be averaged
    fine = [max(1, math.floor(PIXEL_MM / 2 / mm)) for mm in spacing[:2]]
    voxels = volume.as_tensor()[0, :: fine[0], :: fine[1], ::every].permute(2, 0, 1).float()
    low, high = HU_WINDOW
    images = (voxels.clamp(low, high) - low) / (high - low)
    shape = [max(1, round(n * of * mm / PIXEL_MM)) for n, of, mm in zip(images.shape[1:], fine, spacing, strict=False)]
    images = F.interpolate(images[:, None], size=shape, mode="area")[:, 0]
    pads = [side for n in reversed(shape) for side in (math.floor((PIXELS - n) / 2), math.ceil((PIXELS - n) / 2))]
    return AxialSlices(F.pad(images, pads), np.arange(len(images)) * every * spacing[2])
