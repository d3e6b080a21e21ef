"""MONAI's `Spacingd`, with nothing in sight but its keys."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.transforms import Spacingd


class SpacingOfKeysd(Spacingd):
    """Resample as MONAI's `Spacingd`, whatever other items are there.

    Since MONAI 1.6 `Spacingd` takes every item of a NIfTI image whose name begins with that of the image for its meta
    data, and fails where it is a text: `image_path`, with which MONAI Label comes, or `label_set`.
    """

    def __call__(self, data: Mapping[Hashable, Any], lazy: bool | None = None) -> dict[Hashable, Any]:
        """Return the data with the keys resampled."""
        seen = {key: value for key, value in data.items() if key in self.keys}
        return {**data, **super().__call__(seen, lazy=lazy)}
