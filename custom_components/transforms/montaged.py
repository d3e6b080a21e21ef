"""Dictionary transforms around the montage: make it, make it with a random alpha, read it, write it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform, Transform
from torch import Tensor

from custom_components.case_ids import CASE_ID, case_name
from custom_components.data.layout import montage_png_path
from custom_components.data.montage_png import read_montage_png, write_montage_png
from custom_components.transforms.montage import (
    ALPHA,
    AXIAL,
    DISCRIMINATOR_SIZE,
    VIEWS,
    View,
    downsample,
    in_view,
    montage,
)


class Montaged(Transform):
    """Add the montage of an item's image and segmentation.

    Args:
        image_key: (1, X, Y, Z) in [0, 1], RAS.
        segmentation_key: labels (1, X, Y, Z) of an integer type, or probabilities (C, X, Y, Z).
        montage_key: where the montage goes, (3, rows, columns) float32.
        size: rows and columns; None gives a pixel for each voxel.
        alpha: share of the colour where there is an organ.
        view: plane of the slices, see `custom_components.transforms.montage.in_view`.
        allow_missing_keys: leave an item without an image as it is.

    Raises:
        ValueError: (when called) as `montage`.
    """

    def __init__(
        self,
        image_key: Hashable = "image",
        segmentation_key: Hashable = "segmentation",
        *,
        montage_key: Hashable = "montage",
        size: Sequence[int] | None = DISCRIMINATOR_SIZE,
        alpha: float = ALPHA,
        view: View = AXIAL,
        allow_missing_keys: bool = False,
    ) -> None:
        if view not in VIEWS:
            raise ValueError(f"view is {view!r}, expected {' or '.join(VIEWS)}")
        self.image_key, self.segmentation_key, self.montage_key = image_key, segmentation_key, montage_key
        self.size = None if size is None else (int(size[0]), int(size[1]))
        self.alpha = alpha
        self.view = view
        self.allow_missing_keys = allow_missing_keys

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with the montage."""
        if self.allow_missing_keys and self.image_key not in data:
            return dict(data)
        return {**data, self.montage_key: self._montage(data, self.alpha)}

    def _montage(self, data: Mapping[Hashable, Any], alpha: float) -> Tensor:
        image, segmentation = (
            in_view(torch.as_tensor(data[key])[None], self.view) for key in (self.image_key, self.segmentation_key)
        )
        return montage(image, segmentation, size=self.size, alpha=alpha)[0]


class RandMontaged(RandomizableTransform, Montaged):
    """`Montaged` with a random share of colour.

    Args:
        alpha_range: lowest and highest share.
        prob: probability that it differs from `alpha`.
        **kwargs: of `Montaged`.
    """

    def __init__(self, *, alpha_range: tuple[float, float], prob: float = 0.5, **kwargs: Any) -> None:
        Montaged.__init__(self, **kwargs)
        RandomizableTransform.__init__(self, prob)
        self.alpha_range = alpha_range
        self.drawn = self.alpha

    def randomize(self, data: Any | None = None) -> None:
        """Draw the share of colour."""
        super().randomize(None)
        drawn = float(self.R.uniform(*self.alpha_range))
        self.drawn = drawn if self._do_transform else self.alpha

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with the montage."""
        self.randomize()
        if self.allow_missing_keys and self.image_key not in data:
            return dict(data)
        return {**data, self.montage_key: self._montage(data, self.drawn)}


class LoadMontaged(MapTransform):
    """Read montages that are pictures, at the discriminator's size.

    Args:
        keys: paths of PNG (with strip and legend, or foreign) or JPEG files.
        size: rows and columns.
        allow_missing_keys: do nothing for a key that is missing.

    Raises:
        ValueError: (when called) a file cannot be read; one line that names the case.
    """

    def __init__(
        self,
        keys: KeysCollection = "montage",
        *,
        size: Sequence[int] = DISCRIMINATOR_SIZE,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.size = (int(size[0]), int(size[1]))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with (3, rows, columns) float32 in [0, 1] for the paths."""
        loaded = dict(data)
        for key in self.key_iterator(loaded):
            loaded[key] = downsample(read_montage_png(loaded[key])[None], self.size)[0]
        return loaded


class SaveMontaged(Transform):
    """Write the montage of an item's image and segmentation at full size, `<output_dir>/<case_id>.png`.

    Args:
        output_dir: where to; made if missing.
        image_key: (1, X, Y, Z) in [0, 1], RAS.
        segmentation_key: labels (1, X, Y, Z) of an integer type.

    Raises:
        OSError: (when called) the file cannot be written.
    """

    def __init__(
        self, output_dir: str | Path, image_key: Hashable = "image", segmentation_key: Hashable = "segmentation"
    ) -> None:
        self.output_dir = Path(output_dir)
        self.make = Montaged(image_key, segmentation_key, size=None, allow_missing_keys=True)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data as they are."""
        if self.make.image_key in data:
            case_id = str(data.get(CASE_ID) or case_name(data, self.make.image_key))
            picture = self.make(data)[self.make.montage_key]
            write_montage_png(montage_png_path(self.output_dir, case_id), picture, case_id=case_id)
        return dict(data)
