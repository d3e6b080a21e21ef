"""Several trainings of one method: what its seeds have in common, and how far they lie apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from custom_components.report.comparison import FAILURE, SUCCESS, Comparison


class Spread(NamedTuple):
    """Mean, lowest and highest value of the seeds."""

    mean: float
    low: float
    high: float


class SeedSummary(NamedTuple):
    """A method over its seeds.

    Attributes:
        method: its name.
        seeds: names of the seeds.
        success: share of successes after.
        failure: share of gross failures after.
        mean_code: after.
        failure_change: of the share of gross failures, after minus before.
    """

    method: str
    seeds: list[str]
    success: Spread
    failure: Spread
    mean_code: Spread
    failure_change: Spread


def summarise_seeds(comparisons: Mapping[str, Comparison]) -> list[SeedSummary]:
    """Summarise the methods of which there are two seeds or more.

    Args:
        comparisons: by names of the form `method/seed`; others stand for themselves and are left out.

    Returns:
        A summary for each method in the order of the names. The range is over seeds: it tells nothing of the cases.
    """
    by_method: dict[str, dict[str, Comparison]] = defaultdict(dict)
    for name, comparison in comparisons.items():
        method, slash, seed = name.rpartition("/")
        if slash and method and seed:
            by_method[method][seed] = comparison
    return [
        SeedSummary(
            method,
            list(seeds),
            _spread([one.after[SUCCESS].share for one in seeds.values()]),
            _spread([one.after[FAILURE].share for one in seeds.values()]),
            _spread([one.mean_after for one in seeds.values()]),
            _spread([one.differences[FAILURE].value for one in seeds.values()]),
        )
        for method, seeds in by_method.items()
        if len(seeds) > 1
    ]


def _spread(values: list[float]) -> Spread:
    return Spread(float(np.mean(values)), min(values), max(values))
