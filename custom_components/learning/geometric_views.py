"""Candidate sources that show the network the patient at another size or place, and bring the result back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from custom_components.learning.candidates import Segment
from custom_components.options import check_number

BACKGROUND_LOGIT = 20.0
"""Of what lay outside the grid."""


@dataclass(frozen=True)
class Scale:
    """The patient larger or smaller; the logits go back.

    Args:
        factor: above 1 is larger.
    """

    factor: float

    def __post_init__(self) -> None:
        check_number(self.factor, "factor", 0.5, 2)

    @property
    def name(self) -> str:
        return f"scale_{self.factor:g}"

    def __call__(self, image: Tensor, segment: Segment) -> Tensor:
        return _scaled(segment(_scaled(image, self.factor)), 1 / self.factor, outside_is_background=True)


@dataclass(frozen=True)
class Shift:
    """The patient elsewhere in the grid; the logits go back.

    Args:
        fraction: of the grid's extent along right-left, posterior-anterior, inferior-superior.
    """

    fraction: Sequence[float]

    def __post_init__(self) -> None:
        if len(self.fraction) != 3:
            raise ValueError(f"fraction is {self.fraction!r}, expected 3 numbers")
        for one in self.fraction:
            check_number(one, "fraction", -0.5, 0.5)

    @property
    def name(self) -> str:
        return "shift_" + "_".join(f"{one:g}" for one in self.fraction)

    def __call__(self, image: Tensor, segment: Segment) -> Tensor:
        steps = [round(one * size) for one, size in zip(self.fraction, image.shape[2:], strict=True)]
        return _shifted(segment(_shifted(image, steps)), [-step for step in steps], outside_is_background=True)


def _scaled(volume: Tensor, factor: float, *, outside_is_background: bool = False) -> Tensor:
    theta = torch.eye(3, 4, dtype=volume.dtype, device=volume.device)[None] / factor
    grid = F.affine_grid(theta.expand(len(volume), -1, -1), list(volume.shape), align_corners=False)
    moved = F.grid_sample(volume, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    if outside_is_background and factor < 1:
        outside = (grid.abs() > 1).any(-1)
        moved[:, 0][outside] = BACKGROUND_LOGIT
    return moved


def _shifted(volume: Tensor, steps: Sequence[int], *, outside_is_background: bool = False) -> Tensor:
    moved = torch.zeros_like(volume)
    if outside_is_background:
        moved[:, 0] = BACKGROUND_LOGIT
    (x, x0), (y, y0), (z, z0) = (_overlap(n, step) for n, step in zip(volume.shape[2:], steps, strict=True))
    moved[:, :, x, y, z] = volume[:, :, x0, y0, z0]
    return moved


def _overlap(length: int, step: int) -> tuple[slice, slice]:
    """Where a row of voxels is after a step, and where what is there came from."""
    return slice(max(0, step), max(0, length + min(0, step))), slice(max(0, -step), max(0, length - max(0, step)))
