"""Candidate sources that show the network the same CT in other greys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from monai.networks.layers import GaussianFilter
from monai.transforms import Compose
from torch import Tensor

from custom_components.data.datalist import labelled_cases
from custom_components.learning.candidates import Segment
from custom_components.options import check_number
from custom_components.user_errors import exit_on_user_error


@dataclass(frozen=True)
class Gamma:
    """The image to a power: below 1 brightens soft tissue, above 1 darkens it.

    Args:
        gamma: the exponent, above 0.

    Example:
        >>> Gamma(2.0)(torch.full((1, 1, 2, 2, 2), 0.5), lambda image: image).unique()
        tensor([0.2500])
    """

    gamma: float

    def __post_init__(self) -> None:
        check_number(self.gamma, "gamma", 0.01)

    @property
    def name(self) -> str:
        return f"gamma_{self.gamma:g}"

    def __call__(self, image: Tensor, segment: Segment) -> Tensor:
        return segment(image.clamp(0, 1) ** self.gamma)


@dataclass(frozen=True)
class Contrast:
    """The image stretched about a grey, and clipped.

    Args:
        factor: above 1 for more contrast.
        centre: the grey that stays.
    """

    factor: float
    centre: float = 0.5

    def __post_init__(self) -> None:
        check_number(self.factor, "factor", 0.01)
        check_number(self.centre, "centre", 0, 1)

    @property
    def name(self) -> str:
        return f"contrast_{self.factor:g}_{self.centre:g}"

    def __call__(self, image: Tensor, segment: Segment) -> Tensor:
        return segment(((image - self.centre) * self.factor + self.centre).clamp(0, 1))


@dataclass(frozen=True)
class IntensityCurve:
    """The image through a curve, linear between points.

    Args:
        greys: of the image, rising from 0 to 1.
        becomes: what they become, not falling, each from 0 to 1.

    Raises:
        ValueError: the lists differ in length, or are no such numbers.
    """

    greys: Sequence[float]
    becomes: Sequence[float]

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in pairwise(self.greys))
        if len(self.greys) < 2 or self.greys[0] != 0 or self.greys[-1] != 1 or not rising:
            raise ValueError(f"greys is {list(self.greys)}, expected numbers that rise from 0 to 1")
        monotone = all(a <= b for a, b in pairwise(self.becomes))
        if len(self.becomes) != len(self.greys) or not monotone or not 0 <= self.becomes[0] <= self.becomes[-1] <= 1:
            raise ValueError(
                f"becomes is {list(self.becomes)}, expected {len(self.greys)} numbers from 0 to 1, none falling"
            )

    @property
    def name(self) -> str:
        return "curve_" + "_".join(f"{one:g}" for one in self.becomes)

    def __call__(self, image: Tensor, segment: Segment) -> Tensor:
        return segment(_through(image, self.greys, self.becomes))


@dataclass(frozen=True)
class Smooth:
    """The image with less noise.

    Args:
        fraction: standard deviation of the Gaussian, of the grid's extent along each axis.
    """

    fraction: float

    def __post_init__(self) -> None:
        check_number(self.fraction, "fraction", 0, 0.2)

    @property
    def name(self) -> str:
        return f"smooth_{self.fraction:g}"

    def __call__(self, image: Tensor, segment: Segment) -> Tensor:
        sigma = [self.fraction * size for size in image.shape[2:]]
        return segment(GaussianFilter(3, sigma).to(image.device)(image))


class HistogramMatch:
    """The image with the histogram of the labelled set: grey by grey the same quantiles, within the body.

    Args:
        images: volumes (1, X, Y, Z) in [0, 1] of the labelled set, such as the items of its dataset with `image`.
        count: how many of them are looked at, evenly spaced.
        air: what is no brighter belongs to no body.

    Raises:
        ValueError: there are no images.
    """

    name = "histogram_match"

    def __init__(self, images: Sequence, *, count: int = 16, air: float = 0.02) -> None:
        if not len(images):
            raise ValueError("images is empty, expected at least one volume of the labelled set")
        self.air = air
        chosen = [images[place] for place in range(0, len(images), max(1, len(images) // count))][:count]
        volumes = (item["image"] if isinstance(item, dict) else item for item in chosen)
        self.reference = torch.stack([self._quantiles(torch.as_tensor(volume)) for volume in volumes]).mean(0)

    def __call__(self, image: Tensor, segment: Segment) -> Tensor:
        matched = []
        for volume in image:
            greys = self._quantiles(volume).to(image.device)
            # a curve wants rising greys; where many voxels have the same, all but the last of its quantiles go
            keep = torch.cat([greys[1:] > greys[:-1], greys.new_ones(1, dtype=torch.bool)])
            wanted = self.reference.to(image.device)
            matched.append(torch.where(volume > self.air, _interpolated(volume, greys[keep], wanted[keep]), volume))
        return segment(torch.stack(matched))

    def _quantiles(self, volume: Tensor) -> Tensor:
        body = volume[volume > self.air].float().flatten()
        body = body[:: max(1, len(body) // 100_000)] if len(body) else volume.float().flatten()
        return torch.quantile(body, torch.linspace(0, 1, 65, device=body.device)).cpu()


@exit_on_user_error
def labelled_histogram(
    datalist: str | Path, preprocessing: Compose, *, section: str = "training", count: int = 16
) -> HistogramMatch:
    """Make a `HistogramMatch` of the labelled cases of a datalist; for use in configs.

    Args:
        datalist: Decathlon `dataset.json`.
        preprocessing: of the inference, see `custom_components.preprocessing.ct_preprocessing`.
        section: of the datalist; labels are not looked at.
        count: how many cases are looked at, evenly spaced.

    Raises:
        SystemExit: the list or an image cannot be read; one line, and exit code 1.
    """
    check_number(count, "count", 1, whole=True)
    cases = labelled_cases(datalist, section)
    chosen = [cases[place] for place in range(0, len(cases), max(1, len(cases) // count))][:count]
    return HistogramMatch([preprocessing({"image": case["image"]})["image"].as_tensor() for case in chosen])


def _through(image: Tensor, greys: Sequence[float], becomes: Sequence[float]) -> Tensor:
    xs, ys = (torch.tensor(list(values), dtype=image.dtype, device=image.device) for values in (greys, becomes))
    return _interpolated(image, xs, ys)


def _interpolated(image: Tensor, greys: Tensor, becomes: Tensor) -> Tensor:
    """`numpy.interp` for tensors."""
    greys, becomes = greys.to(image.dtype), becomes.to(image.dtype)
    if len(greys) < 2:
        return becomes[-1].expand_as(image).clone()
    image = image.clamp(greys[0], greys[-1])
    right = torch.searchsorted(greys, image.contiguous()).clamp(1, len(greys) - 1)
    low, high = greys[right - 1], greys[right]
    return torch.lerp(becomes[right - 1], becomes[right], (image - low) / (high - low))
