from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, norm

from custom_components.report.comparison import (
    compare_codes,
    mcnemar_exact,
    paired_difference,
    shares,
    signed_rank,
    stuart_maxwell,
)

TABLE = [[20, 3, 2], [9, 15, 4], [7, 11, 29]]


def codes_of(table: list[list[int]]) -> tuple[list[int], list[int]]:
    """A case for every count of a table."""
    pairs = [(i, j) for i, row in enumerate(table) for j, count in enumerate(row) for _ in range(count)]
    before, after = zip(*pairs, strict=True)
    return list(before), list(after)


def test_table_shares_and_means_are_those_counted_by_hand():
    found = compare_codes(*codes_of(TABLE))
    assert found.table.tolist() == TABLE
    assert [share.cases for share in found.before] == [25, 28, 47]
    assert [share.cases for share in found.after] == [36, 29, 35]
    assert [difference.value for difference in found.differences] == pytest.approx([0.11, 0.01, -0.12])
    assert (found.mean_before, found.mean_after) == pytest.approx((1.22, 0.99))
    # 16 became successes, 5 ceased to be; 6 became gross failures, 18 ceased to be
    assert found.success == mcnemar_exact(16, 5)
    assert found.failure == mcnemar_exact(6, 18)
    assert found.differences[0] == paired_difference(16, 5, 100)
    assert found.differences[2] == paired_difference(6, 18, 100)


def test_wilsons_interval_is_that_of_its_formula_and_stays_around_the_share():
    n, p, z = 2027, 606 / 2027, norm.ppf(0.975)
    middle, half = (p + z * z / 2 / n) / (1 + z * z / n), z * math.sqrt(p * (1 - p) / n + (z / 2 / n) ** 2)
    found = shares([606, 1421])[0]
    assert found[:3] == (606, 2027, p)
    assert found[3:] == pytest.approx((middle - half / (1 + z * z / n), middle + half / (1 + z * z / n)))
    for none, all_of in (shares([0, 7]), shares([0, 2027])):
        assert none.low == none.share == 0 < none.high
        assert all_of.low < all_of.share == all_of.high == 1


def test_paired_interval_is_that_of_bonett_and_price():
    found = paired_difference(1, 8, 86)
    middle, half = -7 / 88, 1.959964 * math.sqrt((11 / 88 - (7 / 88) ** 2) / 88)
    assert found == pytest.approx((-7 / 86, middle - half, middle + half), abs=1e-6)
    nothing = paired_difference(0, 0, 50)
    assert nothing.value == 0
    assert nothing.low == -nothing.high < 0
    assert paired_difference(3, 0, 3).high == 1


@pytest.mark.parametrize(("gained", "lost"), [(8, 1), (0, 6), (5, 4), (3, 3), (40, 12)])
def test_mcnemar_is_the_binomial_test_of_the_cases_that_changed(gained: int, lost: int):
    changed, fewer = gained + lost, min(gained, lost)
    p = min(1, 2 * sum(math.comb(changed, k) for k in range(fewer + 1)) / 2**changed)
    found = mcnemar_exact(gained, lost)
    assert (found.statistic, found.p_value) == pytest.approx((fewer, p))
    assert mcnemar_exact(lost, gained) == found


@pytest.mark.parametrize("counts", [TABLE, [[5, 4, 0], [2, 6, 3], [1, 0, 4]]], ids=["no zero", "zeros"])
def test_stuart_maxwell_is_the_closed_form_for_three_codes(counts: list[list[int]]):
    table = np.array(counts)
    d = table.sum(axis=1) - table.sum(axis=0)
    mean = (table + table.T) / 2
    n01, n02, n12 = mean[0, 1], mean[0, 2], mean[1, 2]
    # Fleiss and Everitt 1971
    statistic = (n12 * d[0] ** 2 + n02 * d[1] ** 2 + n01 * d[2] ** 2) / (2 * (n01 * n12 + n01 * n02 + n02 * n12))
    found = stuart_maxwell(counts)
    assert (found.statistic, found.p_value) == pytest.approx((statistic, chi2.sf(statistic, 2)))


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_stuart_maxwell_leaves_a_code_out_that_no_case_left_or_reached(order: tuple[int, ...]):
    two = np.array([[5, 9, 0], [2, 6, 0], [0, 0, 4]])
    found = stuart_maxwell(two[np.ix_(order, order)])
    assert found.statistic == pytest.approx((9 - 2) ** 2 / (9 + 2))
    assert found.p_value == pytest.approx(chi2.sf(49 / 11, 1))


def test_signed_rank_is_the_normal_approximation_where_all_changes_are_alike():
    found = signed_rank([1] * 50, [0] * 30 + [2] * 10 + [1] * 10)
    # all 40 changes have the rank 20.5, so that it is the sign test without continuity correction
    assert found.statistic == 10 * 20.5
    assert found.p_value == pytest.approx(2 * norm.sf(20 / math.sqrt(40)), rel=1e-6)


def test_signed_rank_is_exact_without_ties_and_rough_with_few_of_them():
    exact = signed_rank([0, 0, 0, 0], [-0.4, -0.3, -0.2, 0.1])
    # of the 16 ways to set the signs, rank sums of at most 1 have two on either side
    assert (exact.statistic, exact.p_value, exact.note) == (1, 4 / 16, "")
    assert signed_rank([1, 1, 1], [0, 0, 2]).note == "rough: few cases changed"


def test_without_a_change_no_test_is_defined_and_nothing_crashes():
    found = compare_codes([0, 1, 2, 2], [0, 1, 2, 2])
    for test in (found.success, found.failure, found.shares, found.codes):
        assert math.isnan(test.statistic)
        assert math.isnan(test.p_value)
        assert test.note.startswith("no case changed")
    one = compare_codes([2], [0])
    assert one.failure.p_value == one.success.p_value == 1
    # 1 and 0 changes of gross failures only: success is not defined
    apart = compare_codes([1, 0], [2, 0])
    assert apart.failure.p_value == 1
    assert math.isnan(apart.success.p_value)


def test_codes_that_are_none_or_of_other_cases_are_refused():
    with pytest.raises(ValueError, match="code is 3, expected 0, 1 or 2"):
        compare_codes([0, 3], [0, 1])
    with pytest.raises(ValueError, match="before has 2 codes, after 1, expected as many"):
        compare_codes([0, 1], [0])
    with pytest.raises(ValueError, match="before has 0 codes, after 0"):
        compare_codes([], [])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40))
def test_any_codes_can_be_compared_and_turned_around(pairs: list[tuple[int, int]]):
    before, after = (list(codes) for codes in zip(*pairs, strict=True))
    there, back = compare_codes(before, after), compare_codes(after, before)
    assert back.table.tolist() == there.table.T.tolist()
    for one, other in zip(there.differences, back.differences, strict=True):
        assert one == pytest.approx((-other.value, -other.high, -other.low))
        assert -1 <= one.low <= one.value <= one.high <= 1
    for name in ("success", "failure", "shares", "codes"):
        p = getattr(there, name).p_value
        assert getattr(back, name).p_value == pytest.approx(p, nan_ok=True)
        assert math.isnan(p) or 0 <= p <= 1
