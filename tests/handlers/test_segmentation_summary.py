from __future__ import annotations

import csv
import logging
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from case_engine import case_engine
from ignite.engine import Engine, Events
from monai.data import MetaTensor

from custom_components.anatomy import ORGAN_NAMES
from custom_components.data.layout import segmentation_path
from custom_components.engines import CaseResult
from custom_components.handlers.segmentation_summary import COLUMNS, SegmentationSummary

AFFINE = torch.diag(torch.tensor([-2.0, 2.0, 5.0, 1.0], dtype=torch.float64))
LABELS = torch.zeros(1, 10, 10, 10, dtype=torch.uint8)
LABELS[0, :5] = 6  # liver: 500 voxels of 20 mm3


def run(summary: SegmentationSummary, cases: list[CaseResult], stop_after: int | None = None) -> None:
    def step(engine: Engine, case: CaseResult) -> list[dict]:
        engine.state.case = case
        return [{"pred": MetaTensor(LABELS, affine=AFFINE)} if case.status == "ok" else {}]

    engine = case_engine(step)
    summary.attach(engine)
    if stop_after:

        @engine.on(Events.ITERATION_COMPLETED(once=stop_after))
        def killed() -> None:
            raise SystemExit

    engine.run(cases)


SCORES = ["score", "code", "low", "high", "discriminator_sha256", "candidate", "first_score"]


def rows(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as file:
        return {row["case_id"]: row for row in csv.DictReader(file)}


def test_rows_hold_status_reason_and_volumes_sorted_by_case(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    summary = SegmentationSummary(tmp_path / "out")
    with caplog.at_level(logging.INFO):
        run(summary, [CaseResult("b", "ok", "", 1.5), CaseResult("a", "set_aside", "b.nii: bad, very", 0.1)])
    table = rows(summary.path)
    assert list(table) == ["a", "b"]
    assert (
        list(table["a"])
        == COLUMNS
        == ["case_id", "status", "reason", "seconds", *[f"{n}_ml" for n in ORGAN_NAMES], *SCORES]
    )
    assert table["a"] | {"reason": "b.nii: bad, very", "status": "set_aside", "liver_ml": ""} == table["a"]
    assert table["b"] | {"status": "ok", "seconds": "1.50", "liver_ml": "10.00", "spleen_ml": "0.00"} == table["b"]
    assert f"2 cases: 1 segmented, 1 set aside; see {summary.path}" in caplog.text
    assert list(summary.path.parent.iterdir()) == [summary.path]


def test_a_killed_run_keeps_its_rows_and_the_next_one_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    summary = SegmentationSummary(tmp_path)
    with pytest.raises(SystemExit):
        run(summary, [CaseResult("b", "ok", "", 2.0), CaseResult("a", "ok")], stop_after=1)
    assert list(rows(summary.path)) == ["b"]
    with summary.path.open("a") as file:
        file.write("a,ok,,3.0,1")  # killed in the middle of a row
    with caplog.at_level(logging.INFO):
        run(SegmentationSummary(tmp_path), [CaseResult("a", "ok"), CaseResult("b", "skipped", "finished before")])
    table = rows(summary.path)
    assert table["b"] | {"status": "skipped", "seconds": "2.00", "liver_ml": "10.00"} == table["b"]
    assert table["a"]["liver_ml"] == "10.00"
    assert "2 cases: 1 segmented, 1 skipped (finished before); see" in caplog.text


def test_a_finished_case_without_a_row_gets_its_volumes_from_its_file(tmp_path: Path) -> None:
    path = segmentation_path(tmp_path, "a")
    path.parent.mkdir()
    nib.save(nib.Nifti1Image(LABELS[0].numpy(), AFFINE.numpy()), path)
    summary = SegmentationSummary(tmp_path)
    for name, content in (("b", path.read_bytes()[:-300]), ("c", path.read_bytes()[:40] + bytes(200))):
        segmentation_path(tmp_path, name).parent.mkdir()
        segmentation_path(tmp_path, name).write_bytes(content)
    run(summary, [CaseResult(name, "skipped", "finished before") for name in "abcd"])
    table = rows(summary.path)
    assert table["a"]["liver_ml"] == "10.00"
    for name in "bcd":
        assert table[name]["status"] == "set_aside"
        assert "its segmentation of an earlier run cannot be read" in table[name]["reason"]
    with pytest.raises(SystemExit, match="3 of 4 cases set aside"):
        summary.raise_for_set_aside()


def test_rows_of_cases_that_are_not_in_this_run_stay(tmp_path: Path) -> None:
    run(SegmentationSummary(tmp_path), [CaseResult("a", "ok")])
    run(SegmentationSummary(tmp_path), [CaseResult("b", "ok")])
    assert list(rows(tmp_path / "summary.csv")) == ["a", "b"]


def test_the_exit_code_tells_of_cases_set_aside(tmp_path: Path) -> None:
    summary = SegmentationSummary(tmp_path)
    run(summary, [CaseResult("a", "ok")])
    summary.raise_for_set_aside()
    run(summary, [CaseResult("a", "ok"), CaseResult("b", "set_aside", "bad")])
    with pytest.raises(SystemExit, match=r"^error: 1 of 2 cases set aside; see .*summary\.csv$"):
        summary.raise_for_set_aside()


def test_volumes_follow_an_oblique_affine(tmp_path: Path) -> None:
    turned = AFFINE.clone()
    turned[:3, :3] = torch.as_tensor(np.array([[0.8, 0.6, 0], [-0.6, 0.8, 0], [0, 0, 1]])) @ AFFINE[:3, :3]
    summary = SegmentationSummary(tmp_path)
    engine = case_engine(lambda e, _: [{"pred": MetaTensor(LABELS, affine=turned)}])
    engine.state.case = CaseResult("a", "ok")
    summary.attach(engine)
    engine.run([0])
    assert rows(summary.path)["a"]["liver_ml"] == "10.00"


@pytest.mark.parametrize("overwrite", [True, False])
def test_an_old_segmentation_goes_where_overwriting_fails_and_stays_otherwise(overwrite: bool, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        path = segmentation_path(tmp_path, name)
        path.parent.mkdir()
        nib.save(nib.Nifti1Image(LABELS[0].numpy(), AFFINE.numpy()), path)
    (tmp_path / "d").write_text("a file where the folder of a case should be")
    cases = [CaseResult("b", "ok"), CaseResult("c", "skipped", "finished before")]
    cases += [CaseResult(name, "set_aside", "bad") for name in ("a", "d", "e")]
    summary = SegmentationSummary(tmp_path, overwrite=overwrite)
    run(summary, cases)
    assert [segmentation_path(tmp_path, name).is_file() for name in "abc"] == [not overwrite, True, True]
    assert [rows(summary.path)[name]["status"] for name in "ade"] == ["set_aside"] * 3


def test_the_run_goes_on_where_an_earlier_segmentation_cannot_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = segmentation_path(tmp_path, "a")
    path.parent.mkdir()
    path.touch()

    unlink = Path.unlink

    def refuse(self: Path, missing_ok: bool = False) -> None:  # root, as whom tests may run, is refused nothing
        if self == path:
            raise PermissionError(13, "Permission denied")
        unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    run(SegmentationSummary(tmp_path, overwrite=True), [CaseResult("a", "set_aside", "bad"), CaseResult("b", "ok")])
    assert list(rows(tmp_path / "summary.csv")) == ["a", "b"]
    assert "a: the segmentation of an earlier run cannot be removed: Permission denied" in caplog.text
