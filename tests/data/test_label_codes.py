"""Codes of the label maps that are there now."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from custom_components.data.label_codes import codes_of_labels

OLD = hashlib.sha256(b"what the rater saw before new weights").hexdigest()


@pytest.fixture
def labels(tmp_path: Path) -> dict[str, Path]:
    files = {name: tmp_path / f"{name}.nii.gz" for name in "abc"}
    for name, path in files.items():
        path.write_bytes(b"label of " + name.encode())
    return files


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def written(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(["case_id,code,rater,segmentation_sha256,model", *rows]) + "\n")
    return path


def test_a_code_counts_only_for_the_label_that_it_was_given(
    labels: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    new, of_b = digest(labels["a"]), digest(labels["b"])
    rows = [f"a,2,x,{OLD},", f"a,0,y,{new},", f"b,2,x,{OLD},", f"b,,y,{OLD},", "c,1,x,,"]
    path = written(tmp_path / "codes.csv", *rows)
    assert codes_of_labels(path, labels) == {"a": 0, "c": 1}
    there = "it changed since, or is another model's: rejected"
    assert caplog.messages == [
        f"{path}, line 2: case_id 'a': segmentation_sha256 is '{OLD}', expected {new} of a.nii.gz: {there}",
        f"{path}, line 4: case_id 'b': segmentation_sha256 is '{OLD}', expected {of_b} of b.nii.gz: {there}",
    ]


def test_raters_who_saw_another_label_have_no_say_in_the_consensus(labels: dict[str, Path], tmp_path: Path):
    new = digest(labels["a"])
    rows = [f"a,2,x,{OLD},", f"a,2,y,{OLD},", f"a,0,z,{new},", "a,0,v,,"]
    assert codes_of_labels(written(tmp_path / "codes.csv", *rows), labels) == {"a": 0}


def test_rows_that_cannot_be_used_are_told_one_by_one(
    labels: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    path = written(tmp_path / "codes.csv", "a,failure,x,,", "b,7,x,,", "c,,x,,", "d,1,x,,")
    assert codes_of_labels(path, labels) == {}
    assert caplog.messages == [
        f"{path}, line 2: case_id 'a': code is 'failure', expected 0, 1, 2 or empty: rejected",
        f"{path}, line 3: case_id 'b': code is '7', expected 0, 1, 2 or empty: rejected",
        f"{path}, line 5: case_id is 'd', expected a case with a segmentation: rejected",
    ]


def test_of_codes_for_several_models_that_of_the_label_counts_or_none(
    labels: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    rows = [f"a,1,x,{digest(labels['a'])},new", "a,2,x,,old", "b,0,x,,new", "b,2,x,,old"]
    path = written(tmp_path / "codes.csv", *rows)
    assert codes_of_labels(path, labels) == {"a": 1}
    assert caplog.messages == [
        f"{path}, line {line}: case_id '{case_id}': model is '{model}', expected that of the label: rejected"
        for line, case_id, model in ((3, "a", "old"), (4, "b", "new"), (5, "b", "old"))
    ]
