"""Two sets of QA codes of the same cases: shares, changes, and tests that know which cases belong together."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2, norm, wilcoxon
from sklearn.metrics import confusion_matrix
from statsmodels.stats.contingency_tables import SquareTable, mcnemar
from statsmodels.stats.proportion import proportion_confint

from custom_components.data.code_values import CODES

SUCCESS, FAILURE = CODES[0], CODES[-1]
LEVEL = 0.95
FEW = 10
"""Changed cases below which the normal approximation of the signed rank test is rough."""


class Share(NamedTuple):
    """How many of the cases have a code, and their share with its 95 % Wilson interval."""

    cases: int
    total: int
    share: float
    low: float
    high: float


class Difference(NamedTuple):
    """A difference, after minus before, with its 95 % interval."""

    value: float
    low: float
    high: float


class Significance(NamedTuple):
    """Outcome of a test; statistic and p are nan where it is not defined, and the note says why."""

    test: str
    statistic: float
    p_value: float
    note: str = ""


class Comparison(NamedTuple):
    """What two codes of every case say.

    Attributes:
        table: (3, 3) cases by code before (rows) and after (columns).
        before: share of each code.
        after: share of each code.
        differences: of the share of each code.
        mean_before: mean code.
        mean_after: mean code.
        success: whether as many cases became successes as ceased to be (McNemar).
        failure: whether as many cases became gross failures as ceased to be (McNemar).
        shares: whether the three shares are the same (Stuart-Maxwell).
        codes: whether codes went down as much as up (Wilcoxon).
    """

    table: NDArray[np.int64]
    before: list[Share]
    after: list[Share]
    differences: list[Difference]
    mean_before: float
    mean_after: float
    success: Significance
    failure: Significance
    shares: Significance
    codes: Significance


def compare_codes(before: Sequence[int], after: Sequence[int]) -> Comparison:
    """Compare the codes of cases before and after.

    Args:
        before: code of each case, (N,).
        after: code of the same cases in the same order.

    Raises:
        ValueError: there are no cases, the two have different lengths, or a code is none of 0, 1 and 2.

    Example:
        >>> compare_codes([2, 2, 1, 0], [0, 1, 1, 0]).table.tolist()
        [[1, 0, 0], [0, 1, 0], [1, 1, 0]]
    """
    if len(before) != len(after) or not len(before):
        raise ValueError(
            f"before has {len(before)} codes, after {len(after)}, expected as many in both and at least one"
        )
    if wrong := sorted({*before, *after} - {*CODES}):
        raise ValueError(f"code is {wrong[0]!r}, expected 0, 1 or 2")
    table = confusion_matrix(before, after, labels=list(CODES))
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    return Comparison(
        table,
        shares(rows),
        shares(columns),
        [paired_difference(*_crossings(table, code), len(before)) for code in CODES],
        float(np.mean(before)),
        float(np.mean(after)),
        mcnemar_exact(*_crossings(table, SUCCESS)),
        mcnemar_exact(*_crossings(table, FAILURE)),
        stuart_maxwell(table),
        signed_rank(before, after),
    )


def shares(counts: ArrayLike) -> list[Share]:
    """Give the share of each count in their sum, with 95 % Wilson intervals.

    Example:
        >>> [round(number, 4) for number in shares([606, 1421])[0][2:]]
        [0.299, 0.2794, 0.3193]
    """
    numbers = [int(count) for count in np.asarray(counts)]
    total = sum(numbers)
    intervals = [proportion_confint(count, total, alpha=1 - LEVEL, method="wilson") for count in numbers]
    return [
        # rounding may put an end of the interval beyond a share of 0 or 1
        Share(count, total, count / total, min(float(low), count / total), max(float(high), count / total))
        for count, (low, high) in zip(numbers, intervals, strict=True)
    ]


def paired_difference(gained: int, lost: int, total: int) -> Difference:
    """Give the difference of two shares of the same cases, with its 95 % interval.

    The interval is Wald's after one case is added to those that changed either way, which holds its level in small
    samples and has a width where no case changed. Its middle is a little nearer to 0 than the difference.

    Args:
        gained: cases that have the property only after.
        lost: cases that have it only before.
        total: of all cases.

    Source: Bonett and Price, J. Educ. Behav. Stat. 37 (2012) 479; recommended by Fagerland et al., Stat. Med. 33 (2014)
    2850.
    """
    up, down = (gained + 1) / (total + 2), (lost + 1) / (total + 2)
    half_width = norm.ppf((1 + LEVEL) / 2) * math.sqrt((up + down - (up - down) ** 2) / (total + 2))
    low, high = max(-1.0, up - down - half_width), min(1.0, up - down + half_width)
    return Difference((gained - lost) / total, float(low), float(high))


def mcnemar_exact(gained: int, lost: int) -> Significance:
    """Test whether as many cases gained a property as lost it (exact binomial, two-sided).

    Args:
        gained: cases that have the property only after.
        lost: cases that have it only before.

    Source: McNemar, Psychometrika 12 (1947) 153.
    """
    name = "McNemar, exact"
    if gained + lost == 0:
        return Significance(name, math.nan, math.nan, "no case changed in this respect")
    found = mcnemar([[0, gained], [lost, 0]], exact=True)
    return Significance(name, float(found.statistic), float(found.pvalue))


def stuart_maxwell(table: ArrayLike) -> Significance:
    """Test whether all codes are as frequent after as before (chi-squared).

    A code that no case left or reached says nothing and is left out; the degrees of freedom are one less than the codes
    that remain.

    Args:
        table: (3, 3) cases by code before and after.

    Source: Stuart, Biometrika 42 (1955) 412; Maxwell, Br. J. Psychiatry 116 (1970) 651.
    """
    name, counts = "Stuart-Maxwell", np.asarray(table)
    changed = counts - np.diag(np.diag(counts))
    moved = np.flatnonzero(changed.sum(axis=0) + changed.sum(axis=1))
    if not len(moved):
        return Significance(name, math.nan, math.nan, "no case changed its code")
    # zeros are counts like others: statsmodels would add a half to every cell
    found = SquareTable(changed[np.ix_(moved, moved)].astype(float), shift_zeros=False).homogeneity()
    statistic = max(0.0, float(found.statistic))
    return Significance(name, statistic, float(chi2.sf(statistic, len(moved) - 1)))


def signed_rank(before: ArrayLike, after: ArrayLike) -> Significance:
    """Test whether numbers went down as much as up (Wilcoxon signed rank; cases without a change are left out).

    Where changes are equal, as those of codes are, p is the normal approximation; it is rough if few cases changed.

    Args:
        before: (N,).
        after: (N,), of the same cases.

    Source: Wilcoxon, Biometrics Bull. 1 (1945) 80.
    """
    name, change = "Wilcoxon signed rank", np.asarray(after, float) - np.asarray(before, float)
    change = change[change != 0]
    if not len(change):
        return Significance(name, math.nan, math.nan, "no case changed")
    has_ties = len(np.unique(np.abs(change))) < len(change)
    with warnings.catch_warnings():
        # older scipy warns of what the note says
        warnings.simplefilter("ignore", UserWarning)
        # releases differ in what they choose by themselves
        found = wilcoxon(change, method="approx" if has_ties else "auto")
    note = "rough: few cases changed" if has_ties and len(change) < FEW else ""
    return Significance(name, float(found.statistic), float(found.pvalue), note)


def _crossings(table: NDArray[np.int64], code: int) -> tuple[int, int]:
    """How many cases have the code only after, and only before."""
    stayed = table[code, code]
    return int(table[:, code].sum() - stayed), int(table[code].sum() - stayed)
