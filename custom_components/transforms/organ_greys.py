"""The greys that organs have in one CT, given to the organs of another one."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.networks.layers import GaussianFilter
from monai.transforms import RandomizableTransform
from numpy.typing import ArrayLike
from torch import Tensor

from custom_components.anatomy import NUM_CLASSES

LEAST_VOXELS = 8
"""An organ of fewer voxels tells nothing of its grey."""


def organ_greys(image: Tensor, label: Tensor) -> Tensor:
    """Median grey of each class of a label map, (13,), nan for background and for what has hardly a voxel.

    Args:
        image: (1, X, Y, Z) in [0, 1].
        label: (1, X, Y, Z), numbers of our classes.

    Example:
        >>> image, label = torch.full((1, 4, 4, 4), 0.25), torch.full((1, 4, 4, 4), 6)
        >>> organ_greys(image, label)[6]
        tensor(0.2500)
    """
    image, label = torch.as_tensor(image).float(), torch.as_tensor(label)
    greys = image.new_full((NUM_CLASSES,), torch.nan)
    for index in range(1, NUM_CLASSES):
        found = image[label == index]
        if len(found) >= LEAST_VOXELS:
            greys[index] = found.median()
    return greys


class RandOrganGreysd(RandomizableTransform):
    """Shift each organ of a labelled CT to the grey that it has in a CT drawn at random from others.

    A scan in another contrast phase differs organ by organ, and may reverse their order, which no curve over all greys
    does. So labelled anatomy is shown in the phases of an unlabelled cohort, whose organs' greys come from its
    segmentations: their medians hold although the outlines may not. Where the grey of an organ is unknown, it keeps
    its own. Close to Billot et al. 2023 (SynthSeg), who draw greys by label, but from chance and not from a cohort.

    Args:
        greys: of the other CTs, (N, 13), see `organ_greys`; nan: unknown.
        weights: how often each is drawn, (N,); default equally often.
        prob: share of the items that are changed.
        edge: standard deviation, in voxels, over which a shift fades at an organ's surface, as partial volume does.

    Raises:
        ValueError: the table has another shape, or no row.

    Example:
        >>> greys = [[float("nan")] * 6 + [0.75] + [float("nan")] * 6]
        >>> item = {"image": torch.full((1, 4, 4, 4), 0.25), "label": torch.full((1, 4, 4, 4), 6)}
        >>> RandOrganGreysd(greys, prob=1.0)(item)["image"].unique()
        tensor([0.7500])
    """

    def __init__(
        self, greys: ArrayLike, *, weights: Sequence[float] | None = None, prob: float = 0.5, edge: float = 0.6
    ) -> None:
        super().__init__(prob)
        self.greys = torch.as_tensor(np.asarray(greys, np.float32))
        if self.greys.ndim != 2 or self.greys.shape[1] != NUM_CLASSES or not len(self.greys):
            raise ValueError(f"greys has shape {tuple(self.greys.shape)}, expected (N, {NUM_CLASSES}) with N above 0")
        share = np.ones(len(self.greys)) if weights is None else np.asarray(weights, float)
        if share.shape != (len(self.greys),) or not (share >= 0).all() or not share.sum() > 0:
            raise ValueError(f"weights has shape {share.shape}, expected {len(self.greys)} numbers of at least 0")
        self._share = share / share.sum()
        self._fade = GaussianFilter(3, edge)
        self._margin = math.ceil(4 * edge)
        self._donor = 0

    def randomize(self, data: Any | None = None) -> None:
        """Draw whether to change an item, and the CT whose greys it gets."""
        super().randomize(None)
        self._donor = int(self.R.choice(len(self._share), p=self._share))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with another image, or as it is."""
        self.randomize()
        if not self._do_transform:
            return dict(data)
        image = data["image"]
        plain, label = torch.as_tensor(image).as_subclass(Tensor), torch.as_tensor(data["label"]).as_subclass(Tensor)
        shift = (self.greys[self._donor] - organ_greys(plain, label)).nan_to_num(0.0)
        changed = (plain + self._faded(shift[label.long()])).clamp(0, 1)
        return {**data, "image": type(image)(changed, meta=image.meta) if hasattr(image, "meta") else changed}

    def _faded(self, field: Tensor) -> Tensor:
        """Smooth a field (1, X, Y, Z), as if it went on beyond its borders."""
        margin = self._margin
        wide = F.pad(field[None], [margin] * 6, mode="replicate")
        inner = slice(margin, -margin or None)
        return self._fade(wide)[0, :, inner, inner, inner]
