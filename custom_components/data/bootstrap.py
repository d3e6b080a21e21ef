"""Measures with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Estimate(NamedTuple):
    """A measure with its 95 % interval; nan where it is not defined."""

    value: float
    low: float
    high: float


UNDEFINED = Estimate(np.nan, np.nan, np.nan)
LEAST_DEFINED = 0.95
"""Share of the resamples in which a measure must be defined for its interval to be."""


def percentile_interval(resampled: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Give the 2.5th and the 97.5th percentile of a measure over resamples.

    Where it is not defined in more than 5 % of them, neither is the interval: what is left would be a sample of the
    easy ones.

    Args:
        resampled: the measure in each resample, nan where it is not defined.

    Example:
        >>> percentile_interval(range(101)), percentile_interval([1.0, float("nan")])
        ((2.5, 97.5), (nan, nan))
    """
    values = np.asarray(resampled, dtype=np.float64)
    defined = values[~np.isnan(values)]
    if len(defined) < LEAST_DEFINED * len(values):
        return np.nan, np.nan
    low, high = np.percentile(defined, [2.5, 97.5])
    return float(low), float(high)
