"""QA scores beside QA codes: a run that fools its discriminator gets better scores and worse codes."""

from __future__ import annotations

import math
from typing import NamedTuple

import pandas as pd

from custom_components.report.comparison import FAILURE, Significance, signed_rank

ALPHA = 0.05
"""p from which on a change of the codes may be chance."""

LEAST_FALL = 0.01
"""Fall of the mean score below which it counts as the same."""


class ScoreCheck(NamedTuple):
    """Mean score and true codes of the cases that have a score and a code in both sets.

    Attributes:
        without_before: compared cases that have no score before.
        without_after: compared cases that have no score after.
    """

    cases: int
    without_before: list[str]
    without_after: list[str]
    score_before: float
    score_after: float
    code_before: float
    code_after: float
    failures_before: int
    failures_after: int
    codes: Significance

    @property
    def is_fooled(self) -> bool:
        """Whether the score fell while the mean code did not, or while there were more gross failures."""
        is_no_better = self.code_after >= self.code_before or self.failures_after > self.failures_before
        return self.score_before - self.score_after >= LEAST_FALL and is_no_better


def check_scores(cases: pd.DataFrame) -> ScoreCheck | None:
    """Compare what the discriminator says with what people say; None where no case has both scores.

    Args:
        cases: `before, after, score_before, score_after`, see `custom_components.report.code_sets.Matched`.
    """
    scored = cases.dropna(subset=["score_before", "score_after"])
    if scored.empty:
        return None
    means = scored[["score_before", "score_after", "before", "after"]].mean()
    failures = (scored[["before", "after"]] == FAILURE).sum()
    return ScoreCheck(
        cases=len(scored),
        without_before=list(cases.index[cases["score_before"].isna()]),
        without_after=list(cases.index[cases["score_after"].isna()]),
        score_before=float(means["score_before"]),
        score_after=float(means["score_after"]),
        code_before=float(means["before"]),
        code_after=float(means["after"]),
        failures_before=int(failures["before"]),
        failures_after=int(failures["after"]),
        codes=signed_rank(scored["before"], scored["after"]),
    )


def warning_of(check: ScoreCheck | None, name: str) -> str:
    """Say in one sentence that a score cannot be trusted; nothing if there is no sign of that.

    Args:
        check: as `check_scores` gives it.
        name: what the set after is called.

    Example:
        >>> check = ScoreCheck(250, [], [], 1.1, -0.07, 0.9, 1.3, 92, 156, Significance("Wilcoxon", 1.0, 1e-6))
        >>> print(warning_of(check, "published"))
        Do not trust the QA score of published: over 250 cases it fell from 1.10 to -0.07, while the codes got worse \
(mean code 0.90 to 1.30, gross failures 92 to 156): the results fooled the discriminator.
    """
    if check is None or not check.is_fooled:
        return ""
    if check.code_after > check.code_before:
        worse = "the codes got worse"
    elif check.failures_after > check.failures_before:
        worse = "there were more gross failures"
    else:
        worse = "the codes did not get better"
    p = check.codes.p_value
    may_be_chance = math.isnan(p) or p >= ALPHA
    verdict = "a lower score is no better result here" if may_be_chance else "the results fooled the discriminator"
    chance = f"; the change of the codes may be chance, p = {p:.2f}" if may_be_chance and not math.isnan(p) else ""
    return (
        f"Do not trust the QA score of {name}: over {check.cases} cases it fell from {check.score_before:.2f} to "
        f"{check.score_after:.2f}, while {worse} (mean code {check.code_before:.2f} to {check.code_after:.2f}, gross "
        f"failures {check.failures_before} to {check.failures_after}): {verdict}{chance}."
    )
