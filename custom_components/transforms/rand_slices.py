"""A few slices of a volume, which teach the body-part regressor."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable


class RandSlicesd(Randomizable, MapTransform):
    """Draw a few of the slices of a volume, and of their heights, in their order.

    Args:
        keys: slices `(N, X, Y)` uint8, from inferior to superior.
        count: how many slices to draw.
        height_key: (N,) of the slices.

    Returns:
        `(count, X, Y)` float32 in [0, 1].

    Raises:
        ValueError: (when called) there are fewer slices than `count`.

    Example:
        >>> import torch
        >>> slices, height = torch.arange(40, dtype=torch.uint8).view(-1, 1, 1), 5.0 * torch.arange(40)
        >>> drawn = RandSlicesd("image", count=4).set_random_state(2)({"image": slices, "height": height})
        >>> (drawn["image"].ravel() * 255).int().tolist(), drawn["height"].tolist()
        ([0, 9, 14, 27], [0.0, 45.0, 70.0, 135.0])
    """

    def __init__(self, keys: KeysCollection = "image", *, count: int = 8, height_key: str = "height") -> None:
        super().__init__(keys)
        self.count = count
        self.height_key = height_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with the slices that were drawn."""
        drawn = dict(data)
        for key in self.key_iterator(drawn):
            slices = drawn[key]
            if len(slices) < self.count:
                raise ValueError(f"{key} has {len(slices)} slices, expected at least {self.count}")
            chosen = np.sort(self.R.choice(len(slices), self.count, replace=False))
            drawn[key] = slices[chosen].float() / 255
            drawn[self.height_key] = data[self.height_key][chosen]
        return drawn
