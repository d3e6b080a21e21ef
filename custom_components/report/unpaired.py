"""Two sets of QA codes of which only the counts are known, as a publication gives them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import chi2_contingency, fisher_exact
from statsmodels.stats.proportion import confint_proportions_2indep

from custom_components.data.code_values import CODES
from custom_components.report.comparison import LEVEL, Difference, Share, Significance, shares

LEAST_EXPECTED = 5
"""Expected count of a cell below which Fisher's exact test stands in for chi-squared (Cochran's rule)."""


class CountComparison(NamedTuple):
    """What the counts of two sets say.

    Attributes:
        before: share of each code.
        after: share of each code.
        differences: of the share of each code, with Newcombe's interval.
        classes: for each code, whether its share is the same in both.
        overall: whether the three shares are the same in both.
    """

    before: list[Share]
    after: list[Share]
    differences: list[Difference]
    classes: list[Significance]
    overall: Significance


def compare_counts(before: Sequence[int], after: Sequence[int]) -> CountComparison:
    """Compare how often each code is given, as if the two sets were of different cases.

    If they are of the same cases, which the counts cannot tell of, a paired test is the right one; this one does not
    know how many cases changed their code, and is most often the more careful of the two.

    Args:
        before: cases with code 0, 1 and 2.
        after: cases with code 0, 1 and 2.

    Raises:
        ValueError: these are no three counts, or all are 0.

    Example:
        >>> found = compare_counts([714, 707, 606], [951, 674, 402])  # Lee et al. 2020
        >>> [round(difference.value, 4) for difference in found.differences], found.classes[2].p_value < 1e-4
        ([0.1169, -0.0163, -0.1006], True)
    """
    for name, counts in (("before", before), ("after", after)):
        if len(counts) != len(CODES) or any(int(n) != n or n < 0 for n in counts) or not sum(counts):
            raise ValueError(f"counts {name} are {list(counts)}, expected {len(CODES)} whole numbers, not all 0")
    total_before, total_after = sum(before), sum(after)
    # the interval is of the first minus the second
    intervals = [
        confint_proportions_2indep(n_after, total_after, n_before, total_before, method="newcomb", alpha=1 - LEVEL)
        for n_before, n_after in zip(before, after, strict=True)
    ]
    of_before, of_after = shares(before), shares(after)
    return CountComparison(
        of_before,
        of_after,
        [
            Difference(b.share - a.share, float(low), float(high))
            for a, b, (low, high) in zip(of_before, of_after, intervals, strict=True)
        ],
        [
            _class_test(n_before, total_before, n_after, total_after)
            for n_before, n_after in zip(before, after, strict=True)
        ],
        _overall_test(before, after),
    )


def _class_test(n_before: int, total_before: int, n_after: int, total_after: int) -> Significance:
    """Chi-squared of the 2 x 2 table without continuity correction, or Fisher's test where counts are small."""
    table = np.array([[n_before, total_before - n_before], [n_after, total_after - n_after]])
    if not table.sum(axis=0).all():
        return Significance("chi-squared, unpaired", math.nan, math.nan, "all cases of both sets are alike")
    found = chi2_contingency(table, correction=False)
    if found.expected_freq.min() < LEAST_EXPECTED:
        exact = fisher_exact(table)
        return Significance("Fisher, exact, unpaired", float(exact[0]), float(exact[1]))
    return Significance("chi-squared, unpaired", float(found.statistic), float(found.pvalue))


def _overall_test(before: Sequence[int], after: Sequence[int]) -> Significance:
    table = np.array([before, after])
    table = table[:, table.sum(axis=0) > 0]
    name = "chi-squared, unpaired"
    if table.shape[1] < 2:
        return Significance(name, math.nan, math.nan, "all cases of both sets have one code")
    found = chi2_contingency(table, correction=False)
    note = "rough: few cases are expected of a code" if found.expected_freq.min() < LEAST_EXPECTED else ""
    return Significance(name, float(found.statistic), float(found.pvalue), note)
