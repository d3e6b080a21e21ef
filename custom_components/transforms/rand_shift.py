"""A small random shift by whole voxels or pixels."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform


class RandShiftd(RandomizableTransform, MapTransform):
    """Shift images of one grid together by whole voxels; what comes in from outside is 0.

    Nothing is interpolated, so labels stay labels and the CT keeps its sharpness.

    Args:
        keys: (C, ...) of the same spatial shape.
        max_shift: largest shift along each spatial axis, in voxels.
        prob: probability of a shift.
        allow_missing_keys: do nothing for a key that is missing.

    Example:
        >>> shift = RandShiftd("image", max_shift=(2,), prob=1.0).set_random_state(1)
        >>> shift({"image": torch.tensor([[1, 2, 3]])})["image"].tolist()
        [[0, 0, 1]]
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        max_shift: Sequence[int],
        prob: float = 0.5,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)
        self.max_shift = tuple(int(n) for n in max_shift)
        self.shift = (0,) * len(self.max_shift)

    def randomize(self, data: Any | None = None) -> None:
        """Draw whether to shift, and by how much."""
        super().randomize(None)
        self.shift = tuple(int(self.R.randint(-n, n + 1)) for n in self.max_shift)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with shifted images."""
        self.randomize()
        shifted = dict(data)
        for key in self.key_iterator(shifted) if self._do_transform else ():
            shifted[key] = shift(shifted[key], self.shift)
        return shifted


def shift(image: torch.Tensor, by: Sequence[int]) -> torch.Tensor:
    """Shift (C, ...) along its spatial axes towards higher indices; what comes in is 0."""
    result = torch.zeros_like(image)
    to = (slice(max(0, n), max(0, min(size, size + n))) for n, size in zip(by, image.shape[1:], strict=True))
    of = (slice(max(0, -n), max(0, min(size, size - n))) for n, size in zip(by, image.shape[1:], strict=True))
    result[(slice(None), *to)] = image[(slice(None), *of)]
    return result
