from __future__ import annotations

import math

import pytest
from scipy.stats import chi2

from custom_components.report.unpaired import compare_counts

PAPER = ([714, 707, 606], [951, 674, 402])
"""Counts of codes of 2027 cases before and after, Lee et al. 2020."""


def test_the_papers_counts_differ_with_p_below_0_0001():
    found = compare_counts(*PAPER)
    assert [round(100 * share.share, 2) for share in found.before] == [35.22, 34.88, 29.90]
    assert [round(100 * share.share, 2) for share in found.after] == [46.92, 33.25, 19.83]
    success, acceptable, failure = found.classes
    assert max(success.p_value, failure.p_value, found.overall.p_value) < 1e-4 < acceptable.p_value
    assert {test.test for test in (*found.classes, found.overall)} == {"chi-squared, unpaired"}


def test_chi_squared_is_that_of_the_four_cells():
    failure = compare_counts(*PAPER).classes[2]
    rest = (2027 - 606, 2027 - 402)
    statistic = 2 * 2027 * (606 * rest[1] - 402 * rest[0]) ** 2 / (2027 * 2027 * (606 + 402) * sum(rest))
    assert (failure.statistic, failure.p_value) == pytest.approx((statistic, chi2.sf(statistic, 1)))


def test_newcombes_interval_holds_the_difference_and_is_made_of_wilsons():
    found = compare_counts(*PAPER)
    before, after, (value, low, high) = found.before[2], found.after[2], found.differences[2]
    assert value == pytest.approx(402 / 2027 - 606 / 2027)
    assert low == pytest.approx(value - math.hypot(after.share - after.low, before.high - before.share))
    assert high == pytest.approx(value + math.hypot(after.high - after.share, before.share - before.low))


def test_few_cases_are_tested_exactly():
    found = compare_counts([0, 1, 4], [4, 1, 0])
    # of the tables with margins 5, 5 and 4, 6 the two extreme ones are as unlikely as this one
    assert found.classes[0].test == "Fisher, exact, unpaired"
    assert found.classes[0].p_value == pytest.approx(2 * math.comb(5, 4) / math.comb(10, 4))
    assert found.overall.note == "rough: few cases are expected of a code"


def test_what_all_cases_have_or_none_is_not_defined():
    found = compare_counts([3, 0, 0], [7, 0, 0])
    assert all(math.isnan(test.p_value) and test.note for test in (*found.classes, found.overall))
    assert [difference.value for difference in found.differences] == [0, 0, 0]
    one_missing = compare_counts([30, 0, 30], [10, 0, 50])
    assert math.isnan(one_missing.classes[1].p_value)
    assert one_missing.overall.p_value == pytest.approx(one_missing.classes[0].p_value)


@pytest.mark.parametrize("counts", [[1, 2], [1, 2, -1], [0, 0, 0], [1, 2, 3, 4], [1, 1.5, 2]])
def test_what_are_no_counts_is_refused(counts: list[int]):
    with pytest.raises(ValueError, match=r"counts after are \[.*\], expected 3 whole numbers, not all 0"):
        compare_counts([1, 1, 1], counts)
