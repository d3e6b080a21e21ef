"""The limit above which candidates are made, chosen by codes."""

from pathlib import Path

import pandas as pd
import pytest

from custom_components.learning.candidate_limit import LIMITS, best_limit, limits


def test_a_case_has_the_code_of_what_its_limit_would_take():
    first = {"a": 0.25, "b": 0.85, "c": 1.7, "not coded": 1.0}
    found = limits(first, {"a": 0, "b": 1, "c": 2}, {"a": 1, "b": 2, "c": 0})
    assert [one.limit for one in found] == list(LIMITS)
    by_limit = {one.limit: one for one in found}
    assert by_limit[0.2].counts == (1, 1, 1)  # candidates for all
    assert by_limit[0.3].counts == (2, 0, 1)  # a keeps its success
    assert by_limit[0.9] == (0.9, (2, 1, 0), pytest.approx(1 / 3))
    assert by_limit[1.7].counts == (1, 1, 1)  # candidates for none
    assert best_limit(found).limit == 1.6


def test_cases_must_be_the_same_ones():
    with pytest.raises(ValueError, match="no case has a first score and both codes"):
        limits({"a": 1.0}, {"b": 1}, {"a": 1})


def test_command_prints_a_table_and_the_choice(call, tmp_path: Path):
    pd.DataFrame({"case_id": ["a", "b", "c"], "score": [0.2, 0.4, ""], "first_score": [0.25, 1.7, ""]}).to_csv(
        tmp_path / "summary.csv", index=False
    )
    for name, codes in (("first", [0, 2, 1]), ("taken", [1, 0, 1])):
        pd.DataFrame({"case_id": list("abc"), "code": codes}).to_csv(tmp_path / f"{name}.csv", index=False)
    files = ("--first_codes", tmp_path / "first.csv", "--taken_codes", tmp_path / "taken.csv")
    code, out, _ = call("codes", "limit", tmp_path / "summary.csv", *files)
    assert code == 0
    lines = out.splitlines()
    assert len(lines) == 2 + len(LIMITS)
    assert lines[1].split() == ["0.0", "1/1/0", "100%"]
    assert lines[17].split() == ["1.6", "2/0/0", "50%", "<"]
    assert lines[-1] == "fewest failures, and no fewer successes: candidate_limit 1.6"
    pd.DataFrame({"case_id": ["a"], "score": [0.2]}).to_csv(tmp_path / "plain.csv", index=False)
    code, _, err = call("codes", "limit", tmp_path / "plain.csv", *files)
    assert "plain.csv: columns are case_id, score, expected case_id and first_score" in f"{code}{err}"
