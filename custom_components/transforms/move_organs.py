"""Random places of organs: one of a CT lies elsewhere, or is not there."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import RandomizableTransform
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from custom_components.anatomy import INDEX, MAY_BE_ABSENT
from custom_components.options import check_number

LEAST_VOXELS = 30
"""An organ of fewer voxels stays as it is."""

LEAST_SHOWN = 0.75
"""Share of an organ that must find room where it goes to."""

SOFT = (0.1, 0.7)
"""Greys of the tissue that fills a place, and of that which an organ may cover: neither lung nor bone."""

TRIES = 4


class RandMoveOrgansd(RandomizableTransform):
    """Move an organ of a labelled CT to another place, or take it out.

    A network learns from few labelled CTs where an organ is, and misses a kidney that lies low, or paints one that was
    removed. What is left behind is filled with the tissue around it. The organ covers background and what has no
    label; no other organ. Close to Zhang et al. 2021 (ObjectAug), who move the objects of pictures.

    Args:
        prob: share of the items that are changed.
        absent: share of the changes that take the organ out.
        fraction: standard deviation of a move along each axis, as a fraction of the grid's extent.
        organs: that may change; one of those which the item shows is drawn.

    Raises:
        ValueError: there is no such organ, or a number is out of range.

    Example:
        >>> item = {"image": torch.full((1, 24, 24, 24), 0.25), "label": torch.zeros(1, 24, 24, 24)}
        >>> for key, value in (("image", 0.75), ("label", INDEX["spleen"])):
        ...     item[key][:, 8:12, 8:12, 8:12] = value
        >>> gone = RandMoveOrgansd(prob=1.0, absent=1.0)(item)
        >>> gone["image"].unique(), gone["label"].unique()
        (tensor([0.2500]), tensor([0.]))
    """

    def __init__(
        self,
        *,
        prob: float = 0.3,
        absent: float = 0.5,
        fraction: Sequence[float] = (0.03, 0.03, 0.1),
        organs: Sequence[str] = MAY_BE_ABSENT,
    ) -> None:
        super().__init__(prob)
        unknown = [name for name in organs if name not in INDEX]
        if unknown:
            raise ValueError(f"organs name {unknown[0]!r}, expected some of {', '.join(INDEX)}")
        check_number(absent, "absent", 0, 1)
        if len(fraction) != 3 or not all(part >= 0 for part in fraction):
            raise ValueError(f"fraction is {tuple(fraction)}, expected three numbers of at least 0")
        self.absent = absent
        self.fraction = tuple(fraction)
        self.organs = [INDEX[name] for name in organs]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with another image and label, or as it is; `image` in [0, 1] and `label` (1, X, Y, Z)."""
        self.randomize(None)
        if not self._do_transform:
            return dict(data)
        image, label = (np.asarray(torch.as_tensor(data[key]).as_subclass(Tensor))[0] for key in ("image", "label"))
        counts = np.bincount(label.astype(np.int64).ravel(), minlength=max(self.organs) + 1)
        shown = [index for index in self.organs if counts[index] >= LEAST_VOXELS]
        if not shown:
            return dict(data)
        index = int(self.R.choice(shown))
        moved = self._changed(image, label, index)
        if moved is None:
            return dict(data)
        return {**data, **{key: _like(data[key], one) for key, one in zip(("image", "label"), moved, strict=True)}}

    def _changed(self, image: NDArray, label: NDArray, index: int) -> tuple[NDArray, NDArray] | None:
        """Image and label with the organ elsewhere, or gone; None where it finds no room."""
        mask = label == index
        gone = self.R.rand() < self.absent
        filled = self._filled(image, label, mask)
        emptied = np.where(mask, 0, label)
        if gone:
            return filled, emptied
        for _ in range(TRIES):
            offset = [
                round(self.R.normal(0, part * size)) for part, size in zip(self.fraction, mask.shape, strict=True)
            ]
            there = _shifted(mask, offset) & (emptied == 0) & _soft(filled)
            if any(offset) and np.count_nonzero(there) >= LEAST_SHOWN * np.count_nonzero(mask):
                share = ndimage.gaussian_filter(there.astype(np.float32), 0.6)
                inner = np.where(mask, image, np.median(image[mask]))
                pasted = filled + share * (_shifted(inner, offset) - filled)
                return pasted.astype(image.dtype), np.where(there, index, emptied).astype(label.dtype)
        return None

    def _filled(self, image: NDArray, label: NDArray, mask: NDArray) -> NDArray:
        """The image with the tissue around an organ in its place."""
        (found,) = ndimage.find_objects(mask.astype(np.uint8))
        box = tuple(slice(max(0, one.start - 6), one.stop + 6) for one in found)
        unlabeled = label[box] == 0
        hole = mask[box] | (ndimage.binary_dilation(mask[box]) & unlabeled)
        source = unlabeled & ~hole & _soft(image[box])
        if not source.any():
            return image
        nearest = ndimage.distance_transform_edt(~source, return_distances=False, return_indices=True)
        around = image[box][tuple(nearest)]
        smooth = ndimage.gaussian_filter(around, 1.0)
        # its texture too: a smooth place would tell where the organ was
        grain = self.R.choice((around - smooth)[source], size=np.count_nonzero(hole))
        filled = image.copy()
        filled[box][hole] = np.clip(smooth[hole] + grain, 0, 1)
        return filled


def _soft(image: NDArray) -> NDArray:
    return (image > SOFT[0]) & (image < SOFT[1])


def _shifted(volume: NDArray, offset: Sequence[int]) -> NDArray:
    """A volume moved by whole voxels; what comes in is 0."""
    moved = np.zeros_like(volume)
    pairs = [
        (slice(max(0, by), size + min(0, by)), slice(max(0, -by), size - max(0, by)))
        for by, size in zip(offset, volume.shape, strict=True)
    ]
    moved[tuple(to for to, _ in pairs)] = volume[tuple(source for _, source in pairs)]
    return moved


def _like(original: Any, volume: NDArray) -> Any:
    tensor = torch.from_numpy(volume)[None]
    return type(original)(tensor, meta=original.meta) if hasattr(original, "meta") else tensor
