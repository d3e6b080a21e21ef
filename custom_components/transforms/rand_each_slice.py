"""Random changes that differ from slice to slice, so that only the anatomy tells where a slice lies."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable
from torch import Tensor


class RandEachSliced(Randomizable, MapTransform):
    """Turn, scale and shift each slice, change its contrast, add noise, and narrow its field of view; each on its own.

    A loss of the order and distances of slices leaves open where the scores of a patient begin: the size of a body or
    the phase of contrast could shift all of them. If these differ from slice to slice, the network has to ignore them.

    Args:
        keys: slices `(N, X, Y)` float32 in [0, 1].
        prob: probability of each single change.
        rotate: largest angle in radians.
        scale: largest relative change of size.
        shift: largest shift, as part of the slice's extent.
        contrast: largest change of the logarithm of the contrast of what is denser than fat.
        grey: largest change of its brightness.
        noise_std: upper limit of the noise's standard deviation.
        cut: largest part that the field of view loses on each of the four sides.

    Example:
        >>> change = RandEachSliced("image", prob=1.0).set_random_state(0)
        >>> tuple(change({"image": torch.rand(8, 32, 32)})["image"].shape)
        (8, 32, 32)
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        *,
        prob: float = 0.5,
        rotate: float = 0.2,
        scale: float = 0.2,
        shift: float = 0.1,
        contrast: float = 0.5,
        grey: float = 0.03,
        noise_std: float = 0.03,
        cut: float = 0.15,
    ) -> None:
        super().__init__(keys)
        self.prob, self.rotate, self.scale, self.shift = prob, rotate, scale, shift
        self.contrast, self.grey, self.noise_std, self.cut = contrast, grey, noise_std, cut

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with changed slices."""
        changed = dict(data)
        for key in self.key_iterator(changed):
            slices = self._moved(changed[key])
            slices = self._recoloured(slices)
            changed[key] = (slices + self._noise(slices)).clamp(0, 1) * self._field_of_view(slices)
        return changed

    def _draw(self, count: int, limit: float) -> Tensor:
        """Numbers from `-limit` to `limit`, 0 where nothing is to change."""
        values = self.R.uniform(-limit, limit, size=count) * (self.R.uniform(size=count) < self.prob)
        return torch.as_tensor(values, dtype=torch.float32)

    def _moved(self, slices: Tensor) -> Tensor:
        count = len(slices)
        angle, size = self._draw(count, self.rotate), self._draw(count, self.scale)
        rows = [angle.cos() * (1 + size), -angle.sin(), 2 * self._draw(count, self.shift)]
        rows += [angle.sin(), angle.cos() * (1 + size), 2 * self._draw(count, self.shift)]
        grid = F.affine_grid(
            torch.stack(rows, dim=1).view(-1, 2, 3), [count, 1, *slices.shape[1:]], align_corners=False
        )
        return F.grid_sample(slices[:, None], grid, align_corners=False)[:, 0]

    def _recoloured(self, slices: Tensor) -> Tensor:
        count = len(slices)
        factor, offset = self._draw(count, self.contrast).exp(), self._draw(count, self.grey)
        fat = 0.45
        soft = (slices - fat) * factor[:, None, None] + fat + offset[:, None, None]
        return torch.where(slices > fat, soft, slices)

    def _noise(self, slices: Tensor) -> Tensor:
        noise = torch.as_tensor(self.R.standard_normal(size=slices.shape).astype(np.float32))
        return noise * self._draw(len(slices), self.noise_std)[:, None, None]

    def _field_of_view(self, slices: Tensor) -> Tensor:
        seen = torch.ones_like(slices)
        for axis in (1, 2):
            length = slices.shape[axis]
            for begins in (True, False):
                for one, part in zip(seen, self._draw(len(slices), self.cut).clamp_min(0).tolist(), strict=True):
                    lost = round(part * length)
                    one.narrow(axis - 1, 0 if begins else length - lost, lost).zero_()
        return seen
