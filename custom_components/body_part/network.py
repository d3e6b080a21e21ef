"""The network that tells where in the trunk an axial slice lies."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from custom_components.networks import ScoreLayer

CHANNELS = (16, 32, 64, 128, 128)


class SliceRegressor(nn.Module):
    """A small 2D network that gives the height of an axial slice in the trunk, and whether it is mirrored.

    The height is learnt without labels, from the order and the distances of slices (Yan et al. 2018, "Unsupervised body
    part regression via spatially self-ordering convolutional neural networks"); which side is which, from slices that
    were mirrored on purpose. Its unit is the network's own, until `calibrate` makes slice scores of it.

    Args:
        channels: of the convolutions; each halves the slice, but for the last.

    Example:
        >>> tuple(SliceRegressor()(torch.zeros(2, 8, 128, 128)).shape)
        (2, 8, 2)
    """

    calibration: Tensor

    def __init__(self, channels: tuple[int, ...] = CHANNELS) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for number, after in enumerate(channels):
            size, stride = 5 if number == 0 else 3, 1 if number == len(channels) - 1 else 2
            convolution = nn.Conv2d(before, after, size, stride, size // 2, bias=False)
            layers += [convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
            before = after
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten())
        self.height, self.mirrored = ScoreLayer(16 * before, 1), ScoreLayer(16 * before, 1)
        self.register_buffer("calibration", torch.full((3,), torch.nan))

    def forward(self, slices: Tensor) -> Tensor:
        """Give for each slice its height, the larger the further up, and the logit of being mirrored.

        Args:
            slices: (..., H, W) in [0, 1].

        Returns:
            (..., 2) float32.
        """
        found = self.features(slices.flatten(0, -3)[:, None] - 0.5)
        return torch.cat([self.height(found), self.mirrored(found)], dim=1).view(*slices.shape[:-2], 2)
