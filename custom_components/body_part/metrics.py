"""How straight the slice scores of a volume are."""

from __future__ import annotations

import numpy as np
import torch
from ignite.metrics import Metric
from ignite.metrics.metric import reinit__is_reduced, sync_all_reduce

from custom_components.body_part.line import fit_heights


class LineResidual(Metric):
    """Mean distance in mm of slices from where the line through their volume has their height.

    Smaller is better; it needs no labels. Takes `(found, height)`, found (B, N, 2) as of `SliceRegressor` and height
    (B, N) in mm.
    """

    @reinit__is_reduced
    def reset(self) -> None:
        """Begin anew."""
        self._sum = torch.tensor(0.0, device=self._device)
        self._volumes = 0

    @reinit__is_reduced
    def update(self, output: tuple[torch.Tensor, torch.Tensor]) -> None:
        """Add a batch of volumes."""
        for found, height in zip(*output, strict=True):
            x, y = height.double().cpu().numpy(), found[:, 0].double().cpu().numpy()
            line = fit_heights(x, y)
            off = np.abs(y - line.at(x)).mean() / max(abs(line.slope), 1e-9)
            self._sum += min(float(off), float(x[-1]))  # a network that gives one height for all
            self._volumes += 1

    @sync_all_reduce("_sum", "_volumes")
    def compute(self) -> float:
        """Give the mean of all volumes."""
        return float(self._sum / max(self._volumes, 1))
