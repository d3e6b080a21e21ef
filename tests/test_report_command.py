"""`python -m custom_components report`: what it prints, writes and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import RatedCohort, write_rows

GRID = ("--pixdim", "6,6,12", "--roi_size=16,16,9", "--body_part_path", "none", "--workers", 0)


@pytest.fixture
def call(call):
    """Run the command in this process; returns its exit code and what it wrote to the two streams."""
    return lambda *words: call("report", *words)


def test_a_table_three_lines_and_the_path_are_printed(call, rated: RatedCohort, tmp_path: Path):
    code, out, err = call(
        rated.codes_before, rated.codes_after, tmp_path / "2024_05", "--name_before", "Baseline",
        "--name_after=QA-supervised",
    )  # fmt: skip
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split() for line in lines[1:3]] == [
        ["Baseline", "5", "1", "(20.0", "%)", "2", "(40.0", "%)", "2", "(40.0", "%)", "1.20"],
        ["QA-supervised", "5", "2", "(40.0", "%)", "2", "(40.0", "%)", "1", "(20.0", "%)", "0.80"],
    ]
    assert lines[4:] == [
        "before: 1 success (20.0 %), 2 gross failures (40.0 %) of 5",
        "after: 2 successes (40.0 %), 1 gross failure (20.0 %) of 5; McNemar for success p = 1.000, for gross failure "
        "p = 1.000",
        "fixed and broken: 2 gross failures fixed (now success or acceptable), 1 newly broken; code better in 3, worse "
        "in 1",
        "",
        f"see {tmp_path}/2024_05/report.html",
    ]


def test_everything_at_once_with_several_sets_after(call, rated: RatedCohort, tmp_path: Path):
    scores = write_rows(tmp_path / "scores.csv", [{"case_id": case, "score": 1} for case in "abcde"])
    curve = tmp_path / "learning_curve.csv"
    curve.write_text("epoch,val_rmse,val_accuracy\n1,0.5,0.6\n2,0.4,0.7\n")
    code, out, _ = call(
        rated.codes_before, f"{rated.codes_after},{rated.codes_before}", tmp_path / "out", "--images", rated.images,
        "--segmentations_before", rated.before, f"--segmentations_after={rated.after},{rated.before}",
        "--truth", rated.truth, "--scores_before", scores, "--scores_after", f"{scores},{scores}",
        "--curve", f"{curve},{curve}", "--curve_metric", "val_rmse,val_accuracy", "--pairs", 1, *GRID,
    )  # fmt: skip
    assert code == 0
    assert "codes_after against before\n" in out
    data = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [method["name"] for method in data["methods"]] == ["codes_after", "codes_before"]
    assert [curve["name"] for curve in data["curves"]] == ["codes_after", "codes_before"]
    assert list(data["curves"][0]["best"]) == ["val_rmse", "val_accuracy"]
    assert [pair["case_id"] for pair in data["methods"][0]["pairs"]["drawn"]] == ["a", "b"]
    assert (tmp_path / "out" / "curve.png").is_file()


def test_rejected_rows_and_cases_set_aside_end_with_1_after_all_is_done(call, rated: RatedCohort, tmp_path: Path):
    with rated.codes_after.open("a") as file:
        file.write("x,9,\n")
    for folder in (rated.truth, rated.images):
        (folder / "a.nii.gz").write_bytes(b"")
    code, out, _ = call(
        rated.codes_before, rated.codes_after, tmp_path / "out", "--images", rated.images, "--truth", rated.truth,
        "--segmentations_before", rated.before, "--segmentations_after", rated.after, *GRID,
    )  # fmt: skip
    page = tmp_path / "out" / "report.html"
    assert code == f"error: 1 row rejected, 2 set aside for Dice, 1 pairs of montages not drawn; see {page}"
    assert out.endswith(f"see {page}\n")
    assert "1 problem in codes_after.csv: line 7, 'x': code is '9', rejected" in out
    assert page.is_file()


def test_the_papers_counts_give_p_below_0_0001_without_writing_anything(
    call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    words = ("--counts_before", "714,707,606", "--counts_after=951,674,402")
    code, out, err = call(*words)
    assert (code, err) == (0, "")
    assert "2 gross failure: -10.1 [-12.7, -7.4] points, chi-squared, unpaired: p < 0.0001\n" in out
    assert "These tests are unpaired" in out
    assert list(tmp_path.iterdir()) == []
    assert call(*words, "--output", "out")[1].endswith("see out/report.html\n")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["codes.png", "report.html", "report.json"]


def test_a_mistake_is_one_line_and_exit_code_2(call, rated: RatedCohort, tmp_path: Path):
    before, after, out = rated.codes_before, rated.codes_after, tmp_path / "out"
    other = write_rows(tmp_path / "other.csv", [{"case_id": "z", "code": 1}])
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    fraction = tmp_path / "curve.csv"
    fraction.write_text("epoch,val_rmse\n1.5,0.5\n")
    for words, said in (
        ((), "before is not given, expected a CSV of codes"),
        ((before,), "after is not given, expected a CSV of codes"),
        ((tmp_path / "absent.csv", after, out), f"{tmp_path}/absent.csv: No such file or directory"),
        ((before, empty, out), f"{empty}: is empty, expected codes"),
        ((before, other, out), "codes_before.csv has 5 rated cases, other.csv has 1 rated cases, none of them is in"),
        ((before, after, out, "--name_after", "a,b"), "name_after has 2 entries, expected 1, one for each set after"),
        ((before, after, out, "--images", rated.images), f"images is {rated.images}, expected the segmentations"),
        ((before, after, out, "--curve", other), f"{other}: columns are case_id, code, expected epoch"),
        ((before, after, out, "--scores_before", other), "scores are given of some of the sets, expected those"),
        ((before, after, out, "--pixdim", 5), "pixdim is 5, expected 3 positive numbers (mm)"),
        (("--counts_before", "1,2,3"), "counts_after is '', expected three whole numbers such as 714,707,606"),
        (("--counts_before", "1,2", "--counts_after", "1,2,3"), "counts before are [1, 2], expected 3 whole numbers"),
        ((before, after, "--counts_before", "1,2,3"), "counts are given and the codes"),
        *(
            (
                ("--counts_before", "1,2,3", "--counts_after", "1,2,3", f"--{name}", "x"),
                f"counts are given and {name} x",
            )
            for name in ("curve", "curve_metric", "scores_before", "scores_after", "images", "truth")
        ),
        ((before, after, out, "--curve_metric", "val_rmse"), "curve_metric is val_rmse, expected a curve with it"),
        ((before, after, out, "--workers", "abc"), "workers is 'abc', expected a whole number of at least 0"),
        ((before, after, out, "--workers", -2), "workers is -2, expected a whole number of at least 0"),
        ((before, after, out, "--curve", fraction), f"{fraction}, line 2: epoch is 1.5, expected a whole number"),
    ):
        code, printed, err = call(*words)
        assert (code, printed) == (2, "")
        assert err.startswith(f"error: {said}")
        assert err.count("\n") == 1
    assert not out.exists()


def test_a_process_prints_the_report_and_ends_with_1_where_a_row_was_rejected(rated: RatedCohort, tmp_path: Path):
    with rated.codes_after.open("a") as file:
        file.write("x,9,\n")
    command = [sys.executable, "-m", "custom_components", "report", rated.codes_before.name, rated.codes_after.name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout.endswith("see report/report.html\n")
    assert done.stderr == "error: 1 row rejected; see report/report.html\n"
    assert (tmp_path / "report" / "report.html").is_file()
