from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import RatedCohort, write_volume

from custom_components.report.code_sets import (
    ABSENT,
    CHANGED,
    REJECTED,
    SEVERAL,
    UNRATED,
    CodeSet,
    match,
    read_code_set,
)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def code_set(codes: dict[str, int], without: dict[str, str] | None = None, scores: dict[str, float] | None = None):
    return CodeSet("set", "set.csv", codes, without or {}, (), (), (), scores or {})


def test_several_raters_become_their_majority_and_of_several_codes_the_worse_one(tmp_path: Path):
    path = write(
        tmp_path / "codes.csv",
        "case_id,code,rater\na,0,x\na,0,y\na,2,z\nb,0,x\nb,1,y\nc,,x\nc,1,y\n",
    )
    found = read_code_set(path, name="Baseline")
    assert found.codes == {"a": 0, "b": 1, "c": 1}
    assert (found.name, found.file, found.without_code, found.problems) == ("Baseline", "codes.csv", {}, ())


def test_a_case_without_one_code_says_why(tmp_path: Path):
    path = write(
        tmp_path / "codes.csv",
        "case_id,code,rater,model\na,1,x,\nb,,x,\nc,7,x,\nd,0,x,\nd,1,x,\ne,0,x,unet\ne,2,x,nnunet\n",
    )
    found = read_code_set(path, name="Baseline")
    assert found.codes == {"a": 1}
    assert found.without_code == {"b": UNRATED, "c": REJECTED, "d": REJECTED, "e": SEVERAL}
    assert [(problem.line, problem.action) for problem in found.problems] == [
        (4, "rejected"), (5, "rejected"), (6, "rejected"),
    ]  # fmt: skip


def test_a_segmentation_that_changed_since_it_was_rated_has_no_code(rated: RatedCohort):
    whole = read_code_set(rated.codes_after, name="after", segmentations=rated.after)
    assert whole.codes == {"a": 0, "b": 2, "c": 1, "d": 1, "e": 0}
    write_volume(rated.after / "b" / "b_seg.nii.gz", np.zeros((16, 16, 9), np.uint8))
    found = read_code_set(rated.codes_after, name="after", segmentations=rated.after)
    assert found.codes == {"a": 0, "c": 1, "d": 1, "e": 0}
    assert found.without_code == {"b": CHANGED}
    assert [problem.field for problem in found.problems] == ["segmentation_sha256"]


def test_only_the_rater_of_the_old_segmentation_is_left_out(rated: RatedCohort):
    with rated.codes_after.open("a") as file:
        file.write(f"b,0,{'0' * 64}\n")
    found = read_code_set(rated.codes_after, name="after", segmentations=rated.after)
    assert found.codes["b"] == 2
    assert found.without_code == {}
    assert len(found.problems) == 1


def test_segmentations_without_a_row_are_unrated_and_rows_without_a_segmentation_count(rated: RatedCohort):
    write_volume(rated.after / "new.nii.gz", np.zeros((16, 16, 9), np.uint8))
    (rated.after / "a" / "a_seg.nii.gz").unlink()
    found = read_code_set(rated.codes_after, name="after", segmentations=rated.after)
    assert found.without_code == {"new": UNRATED}
    assert found.without_file == ("a",)
    assert found.codes["a"] == 0


def test_only_cases_rated_in_both_are_matched_and_the_others_say_why():
    before = code_set({"a": 2, "b": 1, "c": 0, "x": 1}, {"d": UNRATED, "e": CHANGED}, {"a": 1.9, "b": 1.0})
    after = code_set({"b": 0, "a": 1, "d": 2, "e": 0}, {"c": UNRATED}, {"a": 0.9})
    matched = match(before, after)
    assert list(matched.cases.index) == ["a", "b"]
    assert matched.cases[["before", "after"]].to_numpy().tolist() == [[2, 1], [1, 0]]
    expected = pd.DataFrame({"score_before": [1.9, 1.0], "score_after": [0.9, np.nan]}, index=matched.cases.index)
    pd.testing.assert_frame_equal(matched.cases[["score_before", "score_after"]], expected)
    assert matched.left_out == {
        f"after: {UNRATED}": ["c"],
        f"before: {UNRATED}": ["d"],
        f"before: {CHANGED}": ["e"],
        f"after: {ABSENT}": ["x"],
    }


def test_a_case_that_neither_set_has_a_code_of_is_named_for_both():
    matched = match(code_set({"a": 0}, {"b": UNRATED}), code_set({"a": 0}, {"b": CHANGED}))
    assert matched.left_out == {f"before: {UNRATED}": ["b"], f"after: {CHANGED}": ["b"]}


def test_two_sets_without_a_common_case_are_refused():
    with pytest.raises(
        ValueError, match=r"set.csv has 1 rated cases, set.csv has 2 rated cases, none of them is in both"
    ):
        match(code_set({"a": 0}), code_set({"b": 0, "c": 1}, {"a": UNRATED}))
