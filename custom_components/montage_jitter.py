"""Random changes that leave a montage its QA code: how large they may be, and as they are made on a gradient's way.

The discriminator's augmentation, `custom_components.preprocessing.qa_augmentation`, has the same numbers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from custom_components.transforms.montage import ALPHA

SHIFT = 4
"""Largest shift along each axis, in pixels."""

BRIGHTNESS = 0.1
"""Largest relative change."""

NOISE_STD = 0.03
"""Upper limit of the noise's standard deviation."""

ALPHA_RANGE = (0.3, 0.5)
"""Share of the colour where there is an organ."""

MOST = 4.0
"""Strength at which the share of the colour may reach 0; a stronger change would not be a montage."""


def jittered_alpha(strength: float) -> float:
    """Draw a share of the colour, 0 to 1: at a strength of 1 from `ALPHA_RANGE`, at 0 that of every montage."""
    low, high = (ALPHA + strength * (end - ALPHA) for end in ALPHA_RANGE)
    return min(max(float(torch.empty(()).uniform_(low, high)), 0.0), 1.0)


def jittered(picture: Tensor, strength: float) -> Tensor:
    """Change montages (B, 3, rows, columns) at random: shift (black comes in), brightness, noise.

    Args:
        picture: in [0, 1]; the gradient flows.
        strength: 1 for `SHIFT`, `BRIGHTNESS` and `NOISE_STD`.

    Example:
        >>> jittered(torch.rand(2, 3, 16, 16), 1.0).shape
        torch.Size([2, 3, 16, 16])
    """
    shifts = torch.empty(2).uniform_(-1, 1) * (SHIFT + 0.99) * strength
    rows, columns = (
        max(-length, min(length, int(shift))) for shift, length in zip(shifts, picture.shape[2:], strict=True)
    )
    shifted = F.pad(picture, (columns, -columns, rows, -rows))
    brightness = 1 + float(torch.empty(()).uniform_(-BRIGHTNESS, BRIGHTNESS)) * strength
    noise = torch.randn_like(picture) * (float(torch.empty(()).uniform_(0, NOISE_STD)) * strength)
    return (shifted * brightness + noise).clamp(0, 1)
