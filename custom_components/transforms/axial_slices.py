"""Take a CT apart into the axial slices that the body-part regressor learns from."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from custom_components.body_part.slices import axial_slices


class AxialSlicesd(MapTransform):
    """Replace a volume `(1, X, Y, Z)` in RAS and HU by its slices `(N, 128, 128)` uint8, 0 for air, 255 for 1000 HU.

    Adds `height` (N,) float32: mm above the first slice.

    Args:
        keys: one volume.
        allow_missing_keys: do nothing for a key that is missing.
    """

    def __init__(self, keys: KeysCollection = "image", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with slices."""
        cut = dict(data)
        for key in self.key_iterator(cut):
            slices = axial_slices(cut[key])
            cut[key] = (slices.images * 255).round().to(torch.uint8)
            cut["height"] = torch.as_tensor(slices.height, dtype=torch.float32)
        return cut
