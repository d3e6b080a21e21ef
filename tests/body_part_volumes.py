"""Volumes whose slices tell their height by their grey, and a regressor that reads it."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor
from torch import Tensor, nn

from custom_components.body_part.network import SliceRegressor
from custom_components.body_part.regressor import BodyPartRegressor
from custom_components.body_part.slices import axial_slices

SLOPE = -1 / 32
"""Score in mm upwards."""


class Greys(nn.Module):
    """Takes the grey in the middle of a slice for its height, and the side of a dark spot for its side."""

    def __init__(self, slope: float = SLOPE) -> None:
        super().__init__()
        # a grey of 1 is 2000 mm
        self.register_buffer("calibration", torch.tensor([2000 * slope, -1000 * slope, slope]))

    def forward(self, slices: Tensor) -> Tensor:
        spots = slices[..., 71, 64] - slices[..., 56, 64]  # darker on the right of a trunk
        return torch.stack([slices[..., 64, 64], 50 * spots], dim=-1)


def regressor() -> BodyPartRegressor:
    return BodyPartRegressor(Greys())  # type: ignore[arg-type]


def trunk(
    bottom: float, top: float, *, spacing: float = 5.0, header: float | None = None, axcodes: str = "RAS"
) -> MetaTensor:
    """A volume from one height (mm, 0 in the middle of the abdomen) to another; in HU, a millimetre a HU.

    Args:
        bottom: height of the first slice.
        top: of the last one.
        spacing: of the slices.
        header: what the affine says of it.
        axcodes: LAS or RAS: whether the affine says that the first axis goes to the left.
    """
    heights = torch.arange(bottom, top + 1e-3, spacing)
    voxels = torch.full((1, 40, 40, len(heights)), -1000.0)
    voxels[:, 10:30, 10:30] = heights
    voxels[:, 27:29, 20] = -500.0  # a spot on the right, which in the slice is the larger index
    affine = np.diag([4.0, 4.0, spacing if header is None else header, 1.0])
    if axcodes == "LAS":
        affine[0] *= -1
    return MetaTensor(voxels, affine=torch.as_tensor(affine))


BRIGHT = 500.0
"""HU of `write_trunk` at a height of 0: the network of `write_regressor` sees what is brighter than water."""


def write_trunk(path: Path, bottom: float, top: float, *, spacing: float = 5.0, reverse: bool = False) -> str:
    """Write `trunk`, brighter, as NIfTI; perhaps with its slices in reverse order."""
    volume = brighter(trunk(bottom, top, spacing=spacing))
    volume = volume.flip(3) if reverse else volume
    nib.save(nib.Nifti1Image(volume[0].numpy().astype(np.int16), volume.affine.numpy()), path)
    return str(path)


def brighter(volume: MetaTensor) -> MetaTensor:
    """A volume with a brighter body; what is air stays air."""
    bright = volume.clone()
    bright[:, 10:30, 10:30] += BRIGHT
    return bright


def write_regressor(path: Path) -> str:
    """Write weights of the real network that give the mean brightness of a slice as its height."""
    network = SliceRegressor()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        for layer in network.features:
            if isinstance(layer, nn.Conv2d):
                layer.weight[0, 0, layer.kernel_size[0] // 2, layer.kernel_size[1] // 2] = 1
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.fill_(1)
        network.height.weight[0, :16] = 1 / 16  # mean of the first channel
        network.mirrored.bias.fill_(-5)
        network.eval()
        heights = np.array([-400.0, 400.0])
        slices = axial_slices(brighter(trunk(*heights, spacing=800.0)), step=0)
        scale, shift = np.polyfit(network(slices.images)[:, 0].numpy(), heights * SLOPE, 1)
        network.calibration.copy_(torch.tensor([scale, shift, SLOPE]))
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), path)
    return str(path)
