from __future__ import annotations

import pytest

from custom_components.report.comparison import compare_codes
from custom_components.report.seeds import summarise_seeds

BEFORE = [2, 2, 2, 2]


def test_seeds_of_a_method_are_summarised_by_mean_and_range():
    found = summarise_seeds(
        {
            "ranked/seed1": compare_codes(BEFORE, [0, 0, 2, 2]),
            "plain": compare_codes(BEFORE, [0, 0, 0, 0]),
            "ranked/seed2": compare_codes(BEFORE, [0, 0, 0, 2]),
            "published/seed1": compare_codes(BEFORE, BEFORE),
            "ranked/seed3": compare_codes(BEFORE, [0, 1, 1, 1]),
        }
    )
    assert [summary.method for summary in found] == ["ranked"]
    ranked = found[0]
    assert ranked.seeds == ["seed1", "seed2", "seed3"]
    assert ranked.success == pytest.approx((0.5, 0.25, 0.75))
    assert ranked.failure == pytest.approx((0.25, 0, 0.5))
    assert ranked.mean_code == pytest.approx(((1 + 0.5 + 0.75) / 3, 0.5, 1))
    assert ranked.failure_change == pytest.approx((-0.75, -1, -0.5))


def test_a_name_may_have_several_slashes_and_an_empty_part_is_no_method():
    one = compare_codes(BEFORE, BEFORE)
    found = summarise_seeds({"a/b/1": one, "a/b/2": one, "/1": one, "/2": one, "c/": one})
    assert [(summary.method, summary.seeds) for summary in found] == [("a/b", ["1", "2"])]
