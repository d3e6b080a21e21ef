from __future__ import annotations

import io
import json
import math

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from custom_components.report.qa_metrics import (
    METRICS,
    confusion,
    confusion_table,
    evaluate,
    metrics_json,
    metrics_table,
    rated_of,
)


def table(codes: list[float], scores: list[float], half_width: float | None = None) -> pd.DataFrame:
    """A row a case; the interval is as wide as given on both sides of the score."""
    found = pd.DataFrame({"case_id": [f"c{n:02}" for n in range(len(codes))], "code": codes, "score": scores})
    if half_width is None:
        return found
    return found.assign(low=found["score"] - half_width, high=found["score"] + half_width)


def measured(found: pd.DataFrame, name: str) -> float:
    return METRICS[name][1](rated_of(found))


# nearest codes of the scores: 0 1 1 0 0 2 1
MIXED = table([0, 0, 1, 1, 1, 2, 2], [0.1, 0.7, 1.2, 0.4, 0.3, 1.9, 1.1], half_width=0.65)
# nearest codes of the scores: 0 1 2 2
GROSS = table([2, 2, 2, 0], [0.2, 1.0, 2.0, 1.8], half_width=0.25)

BY_HAND = {
    "accuracy": (3 / 7, 1 / 4),
    "recall_0": (1 / 2, 0),
    "recall_1": (1 / 3, math.nan),
    "recall_2": (1 / 2, 1 / 3),
    # squares of the distances 4, by chance 56 / 7; and 9, by chance (1 + 8 + 12) / 4
    "quadratic_kappa": (1 - 4 / 8, 1 - 9 / ((3 * (4 + 1) + 1 * (1 + 2 * 4)) / 4)),
    "mae": (3.3 / 7, 4.6 / 4),
    "rmse": (math.sqrt(2.21 / 7), math.sqrt((1.8**2 + 1 + 0 + 1.8**2) / 4)),
    # ranks of the scores 1 4 6 3 2 7 5, of the codes 1.5 1.5 4 4 4 6.5 6.5; and 1 2 4 3, 3 3 3 1
    "spearman": (17.5 / math.sqrt(25 * 28), -1 / math.sqrt(3 * 5)),
    "auroc_failure": (9 / 10, 1 / 3),
    "ap_failure": ((1 + 2 / 3) / 2, (1 + 2 / 3 + 3 / 4) / 3),
    "auroc_success": (8 / 10, 1 / 3),
    "ap_success": ((1 + 2 / 4) / 2, 1 / 3),
    "failures_called_success": (0, 1 / 3),
    "successes_called_failure": (0, 1),
    "off_by_more_than_half": (4 / 7, 3 / 4),
    "off_by_more_than_one": (0, 2 / 4),
    "interval_coverage": (4 / 7, 1 / 4),
    "interval_width": (1.3, 0.5),
}


def test_every_measure_is_computed_by_hand():
    assert set(BY_HAND) == set(METRICS)


@pytest.mark.parametrize("name", METRICS)
def test_a_measure_is_what_is_computed_by_hand(name: str):
    assert (measured(MIXED, name), measured(GROSS, name)) == pytest.approx(BY_HAND[name], nan_ok=True)


@pytest.mark.parametrize(
    ("found", "undefined"),
    [
        (table([0, 0, 0], [0.1, 0.2, 0.9], 0.5), {"recall_1", "recall_2", "spearman", "failures_called_success"}),
        (table([2, 2], [1.9, 0.2], 0.5), {"recall_0", "recall_1", "spearman", "successes_called_failure"}),
        (table([0, 2], [0.1, 0.2], 0.5), {"recall_1"}),
        (table([0, 1, 2], [0.7, 0.7, 0.7], 0.5), {"spearman"}),
        (table([0, 1, 2], [0.1, 1.0, 1.9]), {"interval_coverage", "interval_width"}),
    ],
    ids=["only successes", "only failures", "two codes", "constant score", "no interval"],
)
def test_what_the_cases_do_not_define_is_nan(found: pd.DataFrame, undefined: set[str]):
    if found["code"].nunique() == 1:
        undefined = undefined | {f"{kind}_{end}" for kind in ("auroc", "ap") for end in ("failure", "success")}
    estimates = evaluate(found, resamples=5)
    assert {name for name, estimate in estimates.items() if math.isnan(estimate.value)} == undefined
    assert all(math.isnan(estimates[name].low) and math.isnan(estimates[name].high) for name in undefined)


def test_kappa_is_nan_where_all_is_of_one_class_and_0_where_the_score_says_nothing():
    assert math.isnan(measured(table([1, 1], [0.9, 1.1]), "quadratic_kappa"))
    assert measured(table([1, 1], [0.1, 0.2]), "quadratic_kappa") == 0
    assert measured(table([0, 1, 2], [1, 1, 1]), "quadratic_kappa") == 0


def test_a_soft_code_counts_as_its_nearest_and_its_error_is_from_itself():
    found = table([1.5, 0.4], [1.9, 0.4])
    assert confusion(found).tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert measured(found, "mae") == pytest.approx(0.2)


def random_table(cases: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 3, cases).astype(float)
    return table(list(codes), list((codes + rng.normal(0, 0.6, cases)).round(3)), half_width=0.8)


def numbers(found: pd.DataFrame, **options: int) -> np.ndarray:
    return np.array(list(evaluate(found, resamples=60, **options).values()))


def test_intervals_are_over_cases_and_not_over_rows():
    found = random_table(30)
    twice = pd.concat([found, found], ignore_index=True)
    np.testing.assert_allclose(numbers(twice), numbers(found), atol=1e-12)
    others = twice.assign(case_id=[f"x{n}" for n in range(60)])
    narrower = np.ptp(numbers(others)[:, 1:], axis=1) / np.maximum(np.ptp(numbers(found)[:, 1:], axis=1), 1e-9)
    assert np.median(narrower) < 0.85  # 1 / sqrt(2) if they were other cases


def test_rows_of_a_case_are_drawn_together():
    found = pd.DataFrame({"case_id": ["a", "a", "b", "b"], "code": [0, 2, 0, 2], "score": [0.0, 2.0, 0.0, 2.0]})
    estimate = evaluate(found, resamples=50)["auroc_failure"]
    assert estimate == (1, 1, 1)
    accuracy = evaluate(found.assign(score=[0.0, 2.0, 2.0, 0.0]), resamples=200)["accuracy"]
    assert accuracy == (0.5, 0, 1)


def test_intervals_hold_the_value_and_are_drawn_by_the_seed():
    found = random_table(40)
    one, again, other = (numbers(found, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert np.array_equal(one[:, 0], other[:, 0])
    assert not np.array_equal(one[:, 1:], other[:, 1:])
    assert (one[:, 1] <= one[:, 0] + 1e-9).all()
    assert (one[:, 0] <= one[:, 2] + 1e-9).all()


def test_a_measure_that_many_samples_lack_has_no_interval():
    found = table([0] * 9 + [2], [0.1] * 9 + [1.8])
    value, *ends = evaluate(found, resamples=50)["recall_2"]
    assert value == 1
    assert np.isnan(ends).all()
    few_lack_it = table([0] * 9 + [2] * 6, [0.1] * 9 + [1.8] * 6)
    assert evaluate(few_lack_it, resamples=50)["recall_2"] == (1, 1, 1)


def test_no_cases_are_refused():
    with pytest.raises(ValueError, match="no rated case was scored, expected at least one"):
        evaluate(MIXED[:0])


def test_json_has_null_for_what_is_not_defined_and_counts_cases_and_segmentations():
    found = pd.concat([GROSS.drop(columns=["low", "high"])] * 2)
    text = json.dumps(metrics_json(found, evaluate(found, resamples=5)), allow_nan=False)
    content = json.loads(text)
    assert (content["segmentations"], content["cases"]) == (8, 4)
    assert content["confusion"]["counts"] == [[0, 0, 2], [0, 0, 0], [2, 2, 2]]
    assert content["metrics"]["recall_1"] == content["metrics"]["interval_width"]
    assert content["metrics"]["recall_1"] == {"value": None, "low": None, "high": None}
    assert content["metrics"]["accuracy"]["value"] == 0.25
    assert set(content["metrics"]) == set(METRICS)


def shown(*tables: object) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=100).print(*tables)
    return [line.strip() for line in file.getvalue().splitlines() if line.strip()]


def test_the_text_says_what_each_measure_is_and_its_numbers():
    estimates = evaluate(GROSS, resamples=50)
    lines = {text: line for line in shown(metrics_table(estimates)) for text, _ in METRICS.values() if text in line}
    assert set(lines) == {text for text, _ in METRICS.values()}
    assert lines["nearest code is the true one"].split()[-4:-2] == ["0.250", f"{estimates['accuracy'].low:.3f}"]
    assert lines["of the acceptable, share found"] == "of the acceptable, share found"  # nothing where undefined
    assert not any("nan" in line for line in lines.values())


def test_the_confusion_matrix_has_true_codes_in_rows():
    assert confusion(MIXED).tolist() == [[1, 1, 0], [2, 1, 0], [0, 1, 1]]
    header, _rule, *rows = shown(confusion_table(confusion(MIXED)))
    assert header.split() == ["true", "code", "found", "0", "found", "1", "found", "2"]
    assert [row.split() for row in rows] == [["0", "1", "1", "0"], ["1", "2", "1", "0"], ["2", "0", "1", "1"]]
