"""What a body-part regressor learns by without labels: the order of slices, their distances, and their sides."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

UNIT_MM = 32.0
"""Height that the network's output grows by 1 in, on average."""


def order_loss(heights: Tensor) -> Tensor:
    """Mean of `-log sigmoid(h[j + 1] - h[j])`: a slice further up is higher (Yan et al. 2018, equation 1).

    Args:
        heights: (B, N) of the slices of B volumes, from inferior to superior.
    """
    return F.softplus(-heights.diff(dim=1)).mean()


def distance_loss(heights: Tensor, mm: Tensor) -> Tensor:
    """Smooth L1 between the heights of slices and where they lie, both relative to the mean of their volume.

    Yan et al. 2018 let slices at equal distances be equally far apart (equation 2), and leave the size of a step to
    each volume. The header tells the distance in mm, and so one size of a step holds for all: that is a stronger hint,
    and keeps the network from giving each patient a scale of its own.

    Args:
        heights: (B, N).
        mm: (B, N) above any slice of the same volume.
    """
    wanted = mm / UNIT_MM
    return F.smooth_l1_loss(heights - heights.mean(1, keepdim=True), wanted - wanted.mean(1, keepdim=True))


class BodyPartLoss(nn.Module):
    """Distances, order and sides.

    Args:
        order: weight of the order.
        sides: weight of what is mirrored.
    """

    def __init__(self, order: float = 0.2, sides: float = 0.3) -> None:
        super().__init__()
        self.order, self.sides = order, sides

    def forward(self, found: Tensor, target: tuple[Tensor, Tensor]) -> Tensor:
        """Give the loss of what the network found in B volumes.

        Args:
            found: (B, N, 2), heights and logits.
            target: where the slices lie (B, N) in mm; and which volumes are mirrored (B,), 1 or 0.
        """
        heights, logits = found.unbind(-1)
        mm, mirrored = target
        sides = F.binary_cross_entropy_with_logits(logits, mirrored[:, None].expand_as(logits))
        return distance_loss(heights, mm) + self.order * order_loss(heights) + self.sides * sides
