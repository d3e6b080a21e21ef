"""The score below which a segmentation counts as a success uncoded, chosen by codes."""

from pathlib import Path

import pandas as pd
import pytest

from custom_components.learning.accept_limit import LIMITS, acceptances, best_acceptance

SCORES = {"a": 0.1, "b": 0.2, "c": 0.31, "d": 0.6, "not coded": 0.0}
CODES = {"a": 0, "b": 0.4, "c": 1, "d": 2, "not scored": 0}


def test_a_limit_accepts_what_scores_below():
    by_limit = {one.limit: one for one in acceptances(SCORES, CODES)}
    assert list(by_limit) == list(LIMITS)
    assert by_limit[0.1] == (0.1, (0, 0, 0), 0.0)
    assert by_limit[0.25] == (0.25, (2, 0, 0), 0.5)  # the mean of several raters is the nearest code
    assert by_limit[0.65].counts == (2, 1, 1)


def test_the_highest_limit_is_chosen_that_accepts_successes_only_or_nearly_so():
    found = acceptances(SCORES, CODES)
    assert best_acceptance(found, 1.0).limit == 0.3
    assert best_acceptance(found, 0.6).limit == 0.6
    assert best_acceptance(acceptances({"a": 0.1}, {"a": 2}), 0.5) is None
    with pytest.raises(ValueError, match="no case has a score and a code"):
        acceptances({"a": 0.1}, {"b": 0})


def test_command_prints_a_table_and_the_choice(call, tmp_path: Path):
    pd.Series(SCORES, name="score").rename_axis("case_id").to_csv(tmp_path / "summary.csv")
    pd.Series({**CODES, "b": 0}, name="code").rename_axis("case_id").to_csv(tmp_path / "codes.csv")
    words = "codes", "accept", tmp_path / "summary.csv", "--codes", tmp_path / "codes.csv"
    code, out, _ = call(*words)
    assert code == 0
    lines = out.splitlines()
    assert len(lines) == 2 + len(LIMITS)
    assert lines[1 + LIMITS.index(0.3)].split() == ["0.30", "2/0/0", "50%", "<"]
    assert lines[-1] == "most accepted with 95% successes among them: accept_below 0.3"
    _, out, _ = call(*words, "--successes", "0.6")
    assert out.splitlines()[-1] == "most accepted with 60% successes among them: accept_below 0.6"
    code, _, err = call(*words, "--successes", "2")
    assert "successes is 2, expected a number from 0 to 1" in f"{code}{err}"
    pd.DataFrame({"case_id": ["other"], "code": [2]}).to_csv(tmp_path / "codes.csv", index=False)
    code, _, err = call(*words)
    assert "summary.csv, " in f"{code}{err}"
    assert "codes.csv: no case has a score and a code, expected the same cases in both files" in f"{code}{err}"
    pd.DataFrame({"case_id": ["a"], "code": [2]}).to_csv(tmp_path / "codes.csv", index=False)
    assert call(*words)[1].splitlines()[-1] == "no limit accepts 95% successes: leave accept_below out"
