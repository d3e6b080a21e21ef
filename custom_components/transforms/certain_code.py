"""The QA code that a changed segmentation must have, whatever the unknown truth is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from custom_components.anatomy import INDEX, JUDGED_ORGANS
from custom_components.data.rater import LIMITS, RaterLimits

Labels = NDArray[np.uint8]

_JUDGED = [INDEX[name] for name in JUDGED_ORGANS]
_SLOT = np.zeros(256, np.intp)
_SLOT[_JUDGED] = np.arange(1, len(_JUDGED) + 1)
_SLOTS = len(_JUDGED) + 1


def certain_code(
    before: Labels,
    after: Labels,
    code: float,
    *,
    spacing: Sequence[float],
    doubt: float = 0.05,
    limits: RaterLimits = LIMITS,
) -> float | None:
    """Code of a changed segmentation, if the rule of `RaterLimits` leaves no choice; else None.

    - Where no judged organ changed, the code stays what it was.
    - After a code of 0 or 1, each judged organ of the truth overlaps with `before` by at least some Dice. The changed
      segmentation is a gross failure, 2, if no truth does that and overlaps with `after` well enough for a lower
      code. Both are linear in the volumes that the truth has of each region where `before` and `after` have certain
      labels, so a linear program tells whether such a truth exists.
    - A segmentation of code 2 may be repaired by a change (a false organ removed, swapped kidneys swapped back), so
      nothing is certain about it. Neither is a 0 or 1 ever certain of a changed organ.

    Args:
        before: labels 0 to 12, (X, Y, Z), that were coded.
        after: labels of the same shape.
        code: of `before`; a mean of several raters counts as the next higher code.
        spacing: voxel size in mm.
        doubt: how far below its code's limit the quality of an organ of `before` may still lie, because people
            do not code by numbers.
        limits: the rule.

    Example:
        >>> liver = np.zeros((20, 20, 20), np.uint8)
        >>> liver[2:10, 2:18, 2:18] = INDEX["liver"]
        >>> certain_code(liver, np.zeros_like(liver), 1, spacing=(2, 2, 6))  # 49 ml may be missing
        >>> certain_code(liver, np.zeros_like(liver), 1, spacing=(4, 4, 6))
        2.0
    """
    pairs = np.bincount(_SLOT[before.ravel()] * _SLOTS + _SLOT[after.ravel()], minlength=_SLOTS**2)
    volumes = pairs.reshape(_SLOTS, _SLOTS) * float(np.prod(spacing)) / 1000
    if np.count_nonzero(volumes) == np.count_nonzero(volumes.diagonal()):
        return code
    if not code <= 1:
        return None
    quality = (limits.good if code <= 0 else limits.gross) - doubt
    return None if _some_truth_fits(volumes, quality, limits) else 2.0


def _some_truth_fits(volumes: NDArray[np.float64], quality: float, limits: RaterLimits) -> bool:
    """Whether a truth exists for which `before` has at least `quality` and `after` is no gross failure.

    Args:
        volumes: ml of each pair of labels (before, after), (5, 5).
        quality: of each judged organ of `before`.
        limits: the rule.
    """
    # Dice that a quality needs at least: an organ that is all surface has the largest allowance.
    dice_before, dice_after = (q / (1 + limits.voxel_allowance) for q in (quality, limits.gross))
    # An organ that is small in both may be a sliver or absent in the truth, where Dice does not count.
    small_before, small_after = (limits.sliver_ml + ml for ml in (_wrong_ml(quality, limits), limits.gross_ml))
    rows, least = [], []
    for slot in range(1, _SLOTS):
        sizes = volumes[slot].sum(), volumes[:, slot].sum()
        if sizes[0] < small_before and sizes[1] < small_after:
            continue
        for axis, (dice, size) in enumerate(zip((dice_before, dice_after), sizes, strict=True)):
            row = np.zeros((*volumes.shape, _SLOTS))  # truth's ml in each region, by the organ that it is there
            row[..., slot] = -dice
            row.swapaxes(0, axis)[slot, :, slot] += 2
            rows.append(-row.ravel())
            least.append(-dice * size)
    if not rows:
        return True
    regions = np.repeat(np.eye(volumes.size), _SLOTS, axis=1)
    fit = linprog(
        np.zeros(regions.shape[1]),
        A_ub=np.vstack([*rows, regions]),
        b_ub=np.concatenate([least, volumes.ravel()]),
        method="highs",
    )
    return fit.status != 2  # infeasible


def _wrong_ml(quality: float, limits: RaterLimits) -> float:
    """Wrong volume (ml) of a sliver at a quality, the inverse of the rater's."""
    knots = (0.0, limits.gross, limits.good, 1.0)
    return float(np.interp(quality, knots, (2 * limits.gross_ml, limits.gross_ml, limits.stray_ml, 0.0)))
