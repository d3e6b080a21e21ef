"""Find the landmarks of the slice scores in a label."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapTransform

from custom_components.body_part.landmarks import landmark_indices, organ_spans


class LabelLandmarksd(MapTransform):
    """Replace a label `(1, X, Y, Z)` in RAS by `landmarks` and `organs`: mm above the first slice, by name.

    Of an organ that lies whole within the scan it is a pair, its lowest and its highest slice.

    Args:
        keys: one label, with our numbers.
        allow_missing_keys: do nothing for a key that is missing.
    """

    def __init__(self, keys: KeysCollection = "label", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with landmarks and organs instead of the label."""
        found = dict(data)
        for key in self.key_iterator(data):
            label = found.pop(key)
            mm = float(np.linalg.norm(np.asarray(label.affine, dtype=float)[:3, 2]))
            voxels = label.as_tensor()[0].numpy()
            found["landmarks"] = {name: index * mm for name, index in landmark_indices(voxels).items()}
            found["organs"] = {name: (low * mm, high * mm) for name, (low, high) in organ_spans(voxels).items()}
        return found
