"""What can be measured of a segmentation without its truth: certainty, agreement of networks, sizes, greys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from custom_components.anatomy import INDEX, JUDGED_ORGANS

Labels = NDArray[np.uint8]
Floats = NDArray[np.float32]

MEASURES = (
    "volume_ml", "expected_ml", "certainty", "unsure", "missed", "agreement", "least_agreement",
    "grey", "grey_spread", "rim_grey", "pieces",
)  # fmt: skip
COLUMNS = tuple(f"{organ}_{measure}" for organ in JUDGED_ORGANS for measure in MEASURES)
"""Names of all that is measured: each of `MEASURES` of each judged organ."""

PIECE_VOXELS = 4
"""Smaller pieces are not counted."""


@dataclass(frozen=True)
class Opinions:
    """What one or several networks say of one CT.

    Attributes:
        image: (X, Y, Z), greys in [0, 1].
        probabilities: (C, X, Y, Z), mean over the networks.
        labels: most probable organs of each network, (X, Y, Z).
        voxel_ml: volume of a voxel.
    """

    image: Floats
    probabilities: Floats
    labels: Sequence[Labels]
    voxel_ml: float

    @classmethod
    def of(cls, image: Tensor, logits: Sequence[Tensor], voxel_ml: float) -> Opinions:
        """Collect them from an image (1, 1, X, Y, Z) and each network's logits (1, C, X, Y, Z)."""
        probabilities = torch.stack([one[0].float().softmax(0) for one in logits]).mean(0)
        labels = [one[0].argmax(0).to(torch.uint8).cpu().numpy() for one in logits]
        return cls(image[0, 0].float().cpu().numpy(), probabilities.cpu().numpy(), labels, voxel_ml)


def measure(labels: Labels, opinions: Opinions) -> NDArray[np.float64]:
    """Measure the judged organs of a segmentation (X, Y, Z); a number for each of `COLUMNS`, nan where there is none.

    `volume_ml` is that of the segmentation, `expected_ml` the sum of the probabilities; `certainty` is the mean
    probability of the organ inside of it, `unsure` the share of its voxels where that is below a half, `missed` the
    share of the expected volume outside; `agreement` and `least_agreement` are mean and least Dice with the networks'
    own results; `grey` and `grey_spread` are median and standard deviation inside, `rim_grey` is the mean one voxel
    around; `pieces` counts connected ones.
    """
    return np.concatenate([_measure_organ(INDEX[organ], labels, opinions) for organ in JUDGED_ORGANS])


def _measure_organ(index: int, labels: Labels, opinions: Opinions) -> NDArray[np.float64]:
    mask = labels == index
    size, probability = int(mask.sum()), opinions.probabilities[index]
    inside, expected = probability[mask], float(probability.sum())
    dice = [_dice(mask, size, other == index) for other in opinions.labels]
    values = {
        "volume_ml": size * opinions.voxel_ml,
        "expected_ml": expected * opinions.voxel_ml,
        "missed": (expected - float(inside.sum())) / max(expected, 1.0),
        "agreement": float(np.mean(dice)),
        "least_agreement": min(dice),
        "pieces": 0,
    }
    if size:
        box = tuple(slice(max(0, one.start - 1), one.stop + 1) for one in ndimage.find_objects(mask.view(np.uint8))[0])
        near, image = mask[box], opinions.image[box]
        rim, greys = ndimage.binary_dilation(near) & ~near, image[near]
        pieces = np.bincount(ndimage.label(near)[0].ravel())[1:]
        values |= {
            "certainty": float(inside.mean()),
            "unsure": float((inside < 0.5).mean()),
            "grey": float(np.median(greys)),
            "grey_spread": float(greys.std()),
            "rim_grey": float(image[rim].mean()) if rim.any() else np.nan,
            "pieces": int((pieces >= PIECE_VOXELS).sum()),
        }
    return np.array([values.get(name, np.nan) for name in MEASURES])


def _dice(mask: NDArray[np.bool_], size: int, other: NDArray[np.bool_]) -> float:
    total = size + int(other.sum())
    return 2 * int((mask & other).sum()) / total if total else 1.0
