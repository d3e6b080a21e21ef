"""Agreement of raters, their disagreements, and the one code of all."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa

from custom_components.data.agreement import (
    UNDEFINED,
    _cohen_of_sums,
    _fleiss_of_sums,
    disagreements,
    group_agreement,
    pair_agreements,
    ratings_by_rater,
)
from custom_components.data.code_files import COLUMNS
from custom_components.data.consensus import consensus


def table_of(codes: dict[str, list[float | None]], **columns: list[str]) -> pd.DataFrame:
    """A table of codes: for each rater the codes of the cases c00, c01, ..."""
    rows = [
        {"case_id": f"c{number:02}", "code": code, "rater": rater}
        for rater, of_rater in codes.items()
        for number, code in enumerate(of_rater)
    ]
    texts = dict.fromkeys([name for name in COLUMNS if name not in ("code", "seconds")], "string")
    table = pd.DataFrame(rows).assign(**columns).reindex(columns=list(COLUMNS)).astype({**texts, "code": "Float64"})
    table = table.fillna(dict.fromkeys(texts, ""))
    table.index = pd.MultiIndex.from_product([["codes.csv"], range(2, len(table) + 2)], names=["file", "line"])
    is_whole = (table["code"].dropna() % 1 == 0).all()
    return table.astype({"code": "Int64", "seconds": "Float64"} if is_whole else {"seconds": "Float64"})


def ratings_of(codes: dict[str, list[float | None]]) -> pd.DataFrame:
    return ratings_by_rater(table_of(codes))


def test_cohens_kappa_of_a_published_example():
    # Artstein and Poesio, Comput. Linguist. 34 (2008) 555: 20 of 40 and 50 of 60; (0.7 - 0.54) / (1 - 0.54)
    (pair,) = pair_agreements(ratings_of({"a": [0] * 40 + [1] * 60, "b": [0] * 20 + [1] * 20 + [0] * 10 + [1] * 50}))
    assert (pair.rater_a, pair.rater_b, pair.ratings) == ("a", "b", 100)
    assert pair.agreement.value == pytest.approx(0.7)
    assert pair.kappa.value == pytest.approx(0.16 / 0.46)
    assert pair.weighted_kappa.value == pytest.approx(0.16 / 0.46)  # with two codes the weights change nothing


def test_weighted_kappa_by_hand():
    # off the diagonal 4 ratings one apart; by chance 48.8 one apart and 9.6 two apart, which cost 4 each
    (pair,) = pair_agreements(ratings_of({"a": [0] * 46 + [1] * 44 + [2] * 10, "b": [0] * 50 + [1] * 40 + [2] * 10}))
    assert pair.weighted_kappa.value == pytest.approx(1 - 4 / 87.2)
    assert pair.kappa.value == pytest.approx((0.96 - 0.416) / (1 - 0.416))
    assert pair.weighted_kappa.low < pair.weighted_kappa.value < pair.weighted_kappa.high <= 1


def test_fleiss_kappa_by_hand():
    # ratings of codes 0, 1, 2: 3 0 0, 0 3 0, 2 1 0, 0 1 2; agreeing pairs 3, 3, 1, 1 of 3; shares 5, 5, 2 of 12
    group = group_agreement(ratings_of({"a": [0, 1, 0, 2], "b": [0, 1, 0, 1], "c": [0, 1, 1, 2]}))
    assert (group.raters, group.ratings, group.left_out) == (3, 4, 0)
    assert group.agreement.value == pytest.approx(2 / 3)
    assert group.kappa.value == pytest.approx((2 / 3 - 0.375) / 0.625)


FLEISS_1971 = """444444 222555 233335 555555 222444 113333 333355 113334 114444 555555 144444 124444 222333 144444
224445 333335 111455 111112 224444 133555 555555 244444 224555 114444 144445 222224 111155 224444 133333 555555"""


def test_fleiss_kappa_of_resamples_is_that_of_the_published_table():
    # Fleiss, Psychol. Bull. 76 (1971) 378: 30 patients, 6 raters, 5 diagnoses
    counts, _ = aggregate_raters(np.array([list(map(int, row)) for row in FLEISS_1971.split()]) - 1, n_cat=5)
    sums = np.array([[(counts**2).sum() - counts.sum(), 30 * 6 * 5, *counts.sum(axis=0)]])
    assert _fleiss_of_sums(sums).item() == pytest.approx(0.4302445, abs=1e-7)
    assert fleiss_kappa(counts) == pytest.approx(0.4302445, abs=1e-7)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 2)] * 3), min_size=2, max_size=20))
def test_the_statistic_of_resamples_is_that_of_the_libraries(rows: list[tuple[int, int, int]]):
    codes = np.array(rows)
    cells = np.bincount(codes[:, 0] * 3 + codes[:, 1], minlength=9)[None].astype(float)
    counts, _ = aggregate_raters(codes, n_cat=3)
    group = np.array([[(counts**2).sum() - counts.sum(), 6 * len(codes), *counts.sum(axis=0)]], dtype=float)
    if len(set(codes[:, :2].ravel())) > 1:
        for weights in (None, "quadratic"):
            expected = cohen_kappa_score(codes[:, 0], codes[:, 1], labels=[0, 1, 2], weights=weights)
            assert _cohen_of_sums(cells, weights).item() == pytest.approx(expected, abs=1e-12)
    if len(set(codes.ravel())) > 1:
        assert _fleiss_of_sums(group).item() == pytest.approx(fleiss_kappa(counts), abs=1e-12)


def test_kappa_is_undefined_where_all_codes_are_one():
    ratings = ratings_of({"a": [1, 1, 1], "b": [1, 1, 1]})
    (pair,), group = pair_agreements(ratings), group_agreement(ratings)
    assert pair.agreement == (1, 1, 1)
    for kappa in (pair.kappa, pair.weighted_kappa, group.kappa):
        assert all(map(math.isnan, kappa))


def test_an_interval_is_undefined_where_many_resamples_are():
    # one case of twelve is of another code: (11 / 12) ** 12 = 35 % of the resamples lack it
    ratings = ratings_of({"a": [0] * 11 + [2], "b": [0] * 11 + [2]})
    (pair,) = pair_agreements(ratings)
    assert pair.kappa.value == 1
    assert math.isnan(pair.kappa.low)
    assert math.isnan(pair.kappa.high)
    assert pair.agreement == (1, 1, 1)


def test_the_interval_of_agreement_is_that_of_a_share():
    (pair,) = pair_agreements(ratings_of({"a": [0, 1] * 100, "b": [0, 1] * 80 + [1, 0] * 20}), resamples=20000)
    sd = math.sqrt(0.8 * 0.2 / 200)
    assert pair.agreement.low == pytest.approx(0.8 - 1.96 * sd, abs=0.006)
    assert pair.agreement.high == pytest.approx(0.8 + 1.96 * sd, abs=0.006)


def test_segmentations_of_one_case_are_resampled_together():
    codes = {"a": [0, 1] * 20, "b": [0, 1] * 15 + [1, 0] * 5}
    apart = table_of(codes)
    models = [f"model {number % 4}" for number in range(40)] * 2
    together = apart.assign(case_id=[f"c{number // 4}" for number in range(40)] * 2, model=models)
    (pair,), (pair_of_cases,) = (pair_agreements(ratings_by_rater(table)) for table in (apart, together))
    assert pair_of_cases[:3] == pair[:3]
    assert pair_of_cases.kappa.value == pair.kappa.value
    assert pair_of_cases.kappa.high - pair_of_cases.kappa.low > 1.4 * (pair.kappa.high - pair.kappa.low)


def test_intervals_are_seeded():
    ratings = ratings_of({"a": [0, 1, 2] * 5, "b": [0, 1, 1] * 5})
    assert pair_agreements(ratings, seed=1) == pair_agreements(ratings, seed=1)
    assert pair_agreements(ratings, seed=1) != pair_agreements(ratings, seed=2)


def test_only_what_both_have_rated_counts():
    ratings = ratings_of({"a": [0, 1, None, 2, 0], "b": [0, None, 1, 2, 1], "c": [None] * 5})
    of_pair = {(pair.rater_a, pair.rater_b): pair for pair in pair_agreements(ratings)}
    assert of_pair["a", "b"].ratings == 3
    assert of_pair["a", "b"].agreement.value == pytest.approx(2 / 3)
    assert of_pair["a", "c"][2:] == (0, UNDEFINED, UNDEFINED, UNDEFINED)


def test_fleiss_kappa_is_over_the_most_frequent_number_of_ratings():
    group = group_agreement(
        ratings_of({"a": [0, 1, 2, 0, 1], "b": [0, 1, 1, None, None], "c": [1, None, None, 0, None]})
    )
    assert (group.raters, group.ratings, group.left_out) == (2, 3, 2)
    assert group.agreement.value == pytest.approx(2 / 3)
    none = group_agreement(ratings_of({"a": [0, None], "b": [None, 1]}))
    assert none[:3] == (0, 0, 2)
    assert math.isnan(none.kappa.value)


def test_two_ratings_of_a_rater_are_refused():
    table = table_of({"a": [0]})
    with pytest.raises(ValueError, match="rater 'a' has two ratings of a segmentation of case 'c00', expected one"):
        ratings_by_rater(pd.concat([table, table]))


def test_disagreements_are_listed_the_worst_first():
    listed = disagreements(
        ratings_of({"a": [0, 0, 1, 0, None, 1], "b": [1, 2, 2, 0, 2, 2], "c": [0, 0, 1, 0, None, 2]})
    )
    assert listed.columns.tolist() == ["case_id", "segmentation", "a", "b", "c", "spread"]
    assert listed["case_id"].tolist() == ["c01", "c05", "c02", "c00"]
    assert listed["spread"].tolist() == [2, 1, 1, 1]
    assert listed.iloc[0][["a", "b", "c"]].tolist() == [0, 2, 0]


def test_a_majority_decides_and_ties_go_to_the_worse_code():
    table = table_of(
        {"a": [0, 0, 0, None, 1], "b": [0, 1, 1, None, None], "c": [2, 2, 1, None, None]}, reason=["because"] * 15
    )
    result = consensus(table)
    assert result["case_id"].tolist() == ["c00", "c01", "c02", "c03", "c04"]
    assert result["code"].tolist() == [0, 2, 1, pd.NA, 1]
    assert result["code"].dtype == "Int64"
    assert set(result["rater"]) == {"consensus"}
    assert result["reason"].tolist() == [
        "majority of 0, 0, 2",
        "majority of 0, 1, 2",
        "majority of 0, 1, 1",
        "",
        "majority of 1",
    ]


def test_a_mean_is_a_soft_code():
    result = consensus(table_of({"a": [0, 0, None], "b": [1, 2, None], "c": [1, None, None]}), "mean")
    assert result["code"].dtype == "Float64"
    assert result["code"].iloc[:2].tolist() == [pytest.approx(2 / 3), 1.0]
    assert result["code"].isna().tolist() == [False, False, True]
    with pytest.raises(ValueError, match="consensus is 'median', expected majority or mean"):
        consensus(result, "median")  # type: ignore[arg-type]


def test_each_segmentation_of_a_case_has_its_own_consensus():
    table = table_of({"a": [0, 0], "b": [0, 2]}).assign(case_id="x", model=["m", "n", "m", "n"])
    result = consensus(table.astype({"case_id": "string", "model": "string"}))
    assert result[["model", "code"]].values.tolist() == [["m", 0], ["n", 2]]
    assert consensus(result.iloc[:0]).empty
