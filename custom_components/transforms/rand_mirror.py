"""Slices that are mirrored on purpose, so that a network learns to tell."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform


class RandMirrord(RandomizableTransform, MapTransform):
    """Exchange left and right, and say so in the item `mirrored`: 1.0, or 0.0 if it is as it was.

    Args:
        keys: slices `(N, X, Y)`, X from left to right.
        prob: probability.
    """

    def __init__(self, keys: KeysCollection = "image", *, prob: float = 0.5) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with mirrored or unchanged slices."""
        self.randomize(None)
        changed = dict(data)
        for key in self.key_iterator(changed) if self._do_transform else ():
            changed[key] = changed[key].flip(1)
        changed["mirrored"] = torch.tensor(float(self._do_transform))
        return changed
