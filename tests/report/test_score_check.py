from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from custom_components.report.score_check import check_scores, warning_of


def cases(before: list[int], after: list[int], score_before: float, score_after: float) -> pd.DataFrame:
    count = len(before)
    return pd.DataFrame(
        {
            "before": before,
            "after": after,
            "score_before": [score_before] * count,
            "score_after": [score_after] * count,
        },
        index=[f"c{number}" for number in range(count)],
    )


def test_a_run_that_fooled_its_discriminator_is_said_in_one_sentence():
    check = check_scores(cases([1] * 20 + [2] * 5, [2] * 20 + [2] * 5, 1.1, -0.07))
    assert check is not None
    assert check.is_fooled
    assert warning_of(check, "published") == (
        "Do not trust the QA score of published: over 25 cases it fell from 1.10 to -0.07, while the codes got worse "
        "(mean code 1.20 to 2.00, gross failures 5 to 25): the results fooled the discriminator."
    )


@pytest.mark.parametrize(
    ("before", "after", "scores", "said"),
    [
        ([1, 1], [0, 1], (1.0, 0.2), ""),
        ([1, 1], [2, 1], (1.0, 1.4), ""),
        ([1, 1], [1, 1], (1.0, 0.999), ""),
        ([0, 1], [1, 0], (1.0, 0.2), "the codes did not get better"),
        ([1] * 4, [2, 0, 0, 0], (1.0, 0.2), "there were more gross failures (mean code 1.00 to 0.50"),
        ([1, 1], [2, 1], (1.0, 0.2), "the codes got worse (mean code 1.00 to 1.50, gross failures 0 to 1)"),
    ],
    ids=["both better", "both worse", "same", "score only", "more failures", "worse"],
)
def test_only_a_score_that_falls_without_better_codes_is_warned_of(
    before: list[int], after: list[int], scores: tuple[float, float], said: str
):
    warning = warning_of(check_scores(cases(before, after, *scores)), "x")
    assert bool(warning) == bool(said)
    assert said in warning


def test_a_worsening_that_may_be_chance_is_not_called_fooling():
    warning = warning_of(check_scores(cases([1, 1], [2, 1], 1.0, 0.2)), "x")
    assert "fooled" not in warning
    assert warning.endswith(
        ": a lower score is no better result here; the change of the codes may be chance, p = 1.00."
    )


def test_only_cases_with_both_scores_count():
    table = cases([0, 0, 2], [2, 2, 0], 1.0, 0.5)
    table.loc["c0", "score_before"] = np.nan
    table.loc["c2", "score_after"] = np.nan
    check = check_scores(table)
    assert check is not None
    assert (check.cases, check.code_before, check.code_after) == (1, 0, 2)
    assert (check.without_before, check.without_after) == (["c0"], ["c2"])
    assert check_scores(table.assign(score_after=np.nan)) is None
    assert warning_of(None, "x") == ""
