"""The candidates' views of a CT as a random augmentation."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.transforms import RandomizableTransform

from custom_components.learning.candidates import CandidateSource


class RandViewd(RandomizableTransform):
    """Show the image of an item in one of several views, each as often as the image as it is.

    Args:
        views: sources that change intensities only.
    """

    def __init__(self, views: Sequence[CandidateSource]) -> None:
        super().__init__(prob=len(views) / (len(views) + 1))
        self.views = list(views)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with another image, or as it is."""
        self.randomize(None)
        place = int(self.R.randint(len(self.views)))
        if not self._do_transform:
            return dict(data)
        image = torch.as_tensor(data["image"])[None]
        seen = self.views[place](image, lambda view: view)[0]
        return {**data, "image": data["image"].__class__(seen) if hasattr(data["image"], "meta") else seen}
