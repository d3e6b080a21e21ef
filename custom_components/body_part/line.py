"""The line that the slices of a scan should lie on, and what it says about the scan."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import RANSACRegressor

TOLERANCE = 1.0
"""Distance from the line, in scores, within which a slice counts as on it."""
LEAST_STEEP = 0.35
"""Part of the usual slope that still is a scan with a wrong spacing, and not one in which nothing changes."""
LEAST_SLICES = 5
"""Slices without which there is no line."""


class ScoreLine(NamedTuple):
    """Slice scores as a straight line over the height in a scan.

    Attributes:
        slope: score per mm; positive where the scan goes downwards.
        intercept: score at the scan's first slice.
        inliers: share of the slices that lie near the line.
        residual: median distance of all slices from the line, in scores.
    """

    slope: float
    intercept: float
    inliers: float
    residual: float

    def at(self, height: ArrayLike) -> NDArray[np.float64]:
        """Scores at heights in mm."""
        return self.intercept + self.slope * np.asarray(height, dtype=float)

    def height_of(self, score: float) -> float:
        """Height in mm at which the line has a score."""
        return (score - self.intercept) / self.slope


def fit_line(
    height: ArrayLike, score: ArrayLike, *, tolerance: float = TOLERANCE, usual_slope: float | None = None
) -> ScoreLine:
    """Fit a line that outliers do not move, such as arms, metal, or what lies beyond the trunk (RANSAC).

    Args:
        height: (N,) of the slices in mm.
        score: (N,) of the slices.
        tolerance: distance from the line within which a slice counts as on it, in scores.
        usual_slope: of the scores of other scans. Lines that are less than `LEAST_STEEP` as steep are not looked for,
            if there are others: beyond what a network has learnt, as in the neck or the legs, its scores stay the same,
            and of a long scan that may be the larger part.

    Raises:
        ValueError: there are too few slices.

    Example:
        >>> height = np.arange(0, 300, 5.0)
        >>> score = 3 - 0.03 * height
        >>> score[50:] = 7
        >>> round(fit_line(height, score).slope, 3)
        -0.03
    """
    x, y = np.asarray(height, dtype=float), np.asarray(score, dtype=float)
    if len(x) < LEAST_SLICES:
        raise ValueError(f"{len(x)} slices, expected at least {LEAST_SLICES}")
    line = _ransac(x[:, None], y, tolerance, LEAST_STEEP * abs(usual_slope or 0))
    slope, intercept = float(line.estimator_.coef_[0]), float(line.estimator_.intercept_)
    off = np.abs(y - (intercept + slope * x))
    return ScoreLine(slope, intercept, float(line.inlier_mask_.mean()), float(np.median(off)))


def _ransac(x: NDArray[np.float64], y: NDArray[np.float64], tolerance: float, steepness: float) -> RANSACRegressor:
    def is_steep(model: Any, *_: Any) -> bool:
        return abs(float(model.coef_[0])) >= steepness

    options = {"residual_threshold": tolerance, "max_trials": 200, "random_state": 0}
    try:
        return RANSACRegressor(is_model_valid=is_steep, **options).fit(x, y)
    except ValueError:  # there is no steep one
        return RANSACRegressor(**options).fit(x, y)


def fit_heights(mm: ArrayLike, heights: ArrayLike) -> ScoreLine:
    """Fit a line to what a network gives that is not calibrated: the tolerance is a quarter of its standard deviation.

    Args:
        mm: (N,) of the slices.
        heights: (N,) of the slices, in the network's unit.

    Raises:
        ValueError: as `fit_line`.
    """
    return fit_line(mm, heights, tolerance=max(float(np.std(np.asarray(heights, dtype=float))) / 4, 1e-6))
