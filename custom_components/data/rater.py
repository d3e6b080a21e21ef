"""A simulated rater: the QA code of a segmentation whose truth is known, as phantoms have it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from custom_components.anatomy import INDEX, JUDGED_ORGANS

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class RaterLimits:
    """The rule of the simulated rater, after section 3.2.4 of Lee et al. 2020.

    Liver, right kidney, left kidney and spleen are judged, nothing else. Each gets a quality from 0 to 1,
    and the worst of the four decides: 0 if it is at least `good`, 2 if it is below `gross`, else 1.

    - The quality of an organ is its Dice with the truth, plus `voxel_allowance` times the share of the
      true organ's voxels that lie at its surface, times that Dice. A kidney on 5 x 5 x 12 mm voxels is
      mostly surface and loses Dice to rounding alone; a person looking at the picture sees no error there.
      The factor Dice keeps the allowance from excusing a misplaced organ.
    - An organ of less than `sliver_ml` in the field of view is judged by volume: what is missing and what
      is false together, in ml. So is an absent organ: all that is called by its name is false. Up to
      `stray_ml` is fine, above `gross_ml` is gross.
    - A false piece of a present organ counts in its Dice like any other voxel.
    - Two kidneys that are swapped have Dice 0 each, which is gross.

    Attributes:
        good: least quality of an organ that is well located and delineated (code 0).
        gross: quality below which a mask no longer tells where the organ is (code 2).
        voxel_allowance: Dice forgiven for an organ that is nothing but surface.
        sliver_ml: volume (ml) below which an organ is judged by volume and not by Dice.
        stray_ml: wrong volume (ml) of a sliver or an absent organ that a rater overlooks.
        gross_ml: wrong volume (ml) of a sliver or an absent organ that is a gross failure.
    """

    good: float = 0.88
    gross: float = 0.65
    voxel_allowance: float = 0.08
    sliver_ml: float = 25.0
    stray_ml: float = 12.0
    gross_ml: float = 60.0


LIMITS = RaterLimits()
PAPER_SPACING = (2.0, 2.0, 6.0)


class OrganQuality(NamedTuple):
    """Quality of one judged organ, 0 to 1, and the Dice and volumes (ml) that it comes from."""

    organ: str
    quality: float
    dice: float
    truth_ml: float
    wrong_ml: float


def rate(
    pred: NDArray,
    truth: NDArray,
    *,
    spacing: Sequence[float] | None = None,
    noise: float = 0.0,
    rng: np.random.Generator | None = None,
    limits: RaterLimits = LIMITS,
) -> int:
    """Rate a segmentation 0 (success), 1 (inaccurate) or 2 (gross failure) by `RaterLimits`.

    Args:
        pred: labels 0 to 12, (X, Y, Z).
        truth: labels 0 to 12, same shape.
        spacing: voxel size in mm; default 2 x 2 x 6, the paper's.
        noise: standard deviation of a Gaussian error of the rater in judging an organ's quality.
        rng: source of that error; needed if `noise` is not 0.
        limits: the rule.

    Raises:
        ValueError: shapes differ, labels are not whole numbers, or noise is given without `rng`.

    Example:
        >>> truth = np.zeros((20, 20, 20), int)
        >>> truth[2:10, 2:18, 2:18] = INDEX["liver"]
        >>> rate(truth, truth), rate(np.zeros_like(truth), truth)
        (0, 2)
    """
    if noise and rng is None:
        raise ValueError(f"noise is {noise}, expected 0 where no rng is given")
    qualities = np.array([organ.quality for organ in judge(pred, truth, spacing=spacing, limits=limits)])
    if noise and rng is not None:
        qualities = qualities + rng.normal(scale=noise, size=len(qualities))
    worst = qualities.min()
    if worst < limits.gross:
        return 2
    return 0 if worst >= limits.good else 1


def judge(
    pred: NDArray, truth: NDArray, *, spacing: Sequence[float] | None = None, limits: RaterLimits = LIMITS
) -> list[OrganQuality]:
    """Quality of each judged organ; arguments and errors as in `rate`."""
    pred, truth = np.asarray(pred), np.asarray(truth)
    if pred.shape != truth.shape or pred.ndim != 3:
        raise ValueError(f"pred has shape {pred.shape}, truth {truth.shape}: expected the same three dimensions")
    for name, labels in (("pred", pred), ("truth", truth)):
        if labels.dtype.kind not in "iu":
            raise ValueError(f"{name} is of type {labels.dtype}, expected whole numbers")
    voxel_ml = float(np.prod(PAPER_SPACING if spacing is None else spacing)) / 1000
    return [
        _judge_organ(organ, pred == INDEX[organ], truth == INDEX[organ], voxel_ml, limits) for organ in JUDGED_ORGANS
    ]


def _judge_organ(organ: str, pred: Mask, truth: Mask, voxel_ml: float, limits: RaterLimits) -> OrganQuality:
    size, total = int(truth.sum()), int(truth.sum() + pred.sum())
    dice = 2 * int((pred & truth).sum()) / total if total else 1.0
    truth_ml, wrong_ml = size * voxel_ml, int((pred ^ truth).sum()) * voxel_ml
    if truth_ml < limits.sliver_ml:
        quality = _quality_of_volume(wrong_ml, limits)
    else:
        quality = min(1.0, dice + limits.voxel_allowance * _surface_share(truth) * dice)
    return OrganQuality(organ, quality, dice, truth_ml, wrong_ml)


def _quality_of_volume(wrong_ml: float, limits: RaterLimits) -> float:
    """Quality of a sliver or an absent organ: `good` at `stray_ml`, `gross` at `gross_ml`, linear between."""
    knots = (0.0, limits.stray_ml, limits.gross_ml, 2 * limits.gross_ml)
    return float(np.interp(wrong_ml, knots, (1.0, limits.good, limits.gross, 0.0)))


def _surface_share(mask: Mask) -> float:
    """Share of an organ's voxels that have a face on its surface."""
    low, high = (f(np.argwhere(mask), axis=0) for f in (np.min, np.max))
    box = np.pad(mask[tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))], 1)
    core = box.copy()
    for axis in range(3):
        core &= np.roll(box, 1, axis) & np.roll(box, -1, axis)
    return 1 - float(core.sum() / box.sum())
