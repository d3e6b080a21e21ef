from __future__ import annotations

import csv
import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader

from custom_components.data.conformal import ScoreInterval
from custom_components.data.set_aside import SetAsideDataset
from custom_components.engines import CaseEvaluator, prepare_montages
from custom_components.handlers.qa_scores import COLUMNS, QAScores, score_row, score_table

INTERVAL = ScoreInterval(0.9, 0.3, 20)
WEIGHTS = __file__  # any file


class MeanBrightness(torch.nn.Module):
    """The score is the mean of the montage."""

    def forward(self, montage: torch.Tensor) -> torch.Tensor:
        return montage.mean((1, 2, 3))[:, None]


def load(item: dict[str, Any]) -> dict[str, Any]:
    if item["shade"] is None:
        raise ValueError(f"{item['montage']}: truncated")
    return {"case_id": item["case_id"], "montage": torch.full((3, 2, 2), float(item["shade"]))}


def run(scores: QAScores, cases: Sequence[dict[str, Any]], at_end_of_case: Callable[[], None] | None = None) -> None:
    engine = CaseEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(SetAsideDataset(cases, load), batch_size=1),
        prepare_batch=prepare_montages,
        network=MeanBrightness(),
        val_handlers=[scores],
    )
    if at_end_of_case:
        engine.add_event_handler(Events.ITERATION_COMPLETED, at_end_of_case)
    engine.run()


def case(name: str, shade: float | None, folder: Path = Path("png"), **more: Any) -> dict[str, Any]:
    return {"case_id": name, "shade": shade, "montage": str(folder / f"{name}.png"), "fingerprint": f"of {name}"} | more


def rows(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as file:
        return {row["case_id"]: row for row in csv.DictReader(file)}


def test_the_worst_score_comes_first_and_what_was_set_aside_last(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    cases = [case("d", None), case("a", 0.25), case("b", 1.75), case("c", 0.5), case("e", -0.25), case("f", None)]
    scores = QAScores(tmp_path / "out", cases, interval=INTERVAL, weights=WEIGHTS)
    with caplog.at_level(logging.INFO):
        run(scores, cases)
    table = rows(scores.path)
    assert scores.path == tmp_path / "out" / "qa_scores.csv"
    assert list(table) == ["b", "c", "a", "e", "d", "f"]
    assert list(table["b"]) == COLUMNS
    found = {name: [row[key] for key in ("score", "code", "low", "high", "status")] for name, row in table.items()}
    assert found["b"] == ["1.7500", "2", "1.4500", "2.0000", "ok"]
    assert found["c"] == ["0.5000", "1", "0.2000", "0.8000", "ok"]
    assert found["e"] == ["-0.2500", "0", "0.0000", "0.3000", "ok"]
    assert found["d"] == ["", "", "", "", "set_aside"]
    assert table["d"]["reason"] == "montage d.png: truncated"
    assert {row["made_from"] for row in table.values()} == {f"of {name}" for name in "abcdef"}
    assert float(table["a"]["seconds"]) >= 0
    assert f"6 cases: 4 scored, 2 set aside; see {scores.path}" in caplog.text
    assert "[2/6] a: 0.2500" in caplog.text
    with pytest.raises(SystemExit, match=r"^error: 2 of 6 cases set aside; see .*qa_scores\.csv$"):
        scores.raise_for_set_aside()


@pytest.mark.parametrize("shade", [math.nan, math.inf])
def test_a_score_that_is_no_number_sets_its_case_aside_with_the_reason(shade: float, tmp_path: Path):
    cases = [case("a", shade), case("b", 1.0)]
    scores = QAScores(tmp_path, cases, interval=INTERVAL, weights=WEIGHTS)
    run(scores, cases)
    row = rows(scores.path)["a"]
    assert row["status"] == "set_aside"
    assert row["reason"] == f"score is {shade}, expected a finite number: are the weights damaged?"
    assert [row[key] for key in ("score", "code", "low", "high")] == [""] * 4
    assert list(rows(scores.path)) == ["b", "a"]
    with pytest.raises(SystemExit, match="1 of 2 cases set aside"):
        scores.raise_for_set_aside()


def test_without_an_interval_its_columns_are_empty(tmp_path: Path):
    run(QAScores(tmp_path, [case("a", 1.0)], weights=WEIGHTS), [case("a", 1.0)])
    row = rows(tmp_path / "qa_scores.csv")["a"]
    assert [row[key] for key in ("score", "code", "low", "high")] == ["1.0000", "1", "", ""]


def test_code_and_interval_are_those_of_the_score_that_is_written():
    assert score_row(0.49996, INTERVAL) == {"score": "0.5000", "code": "1", "low": "0.2000", "high": "0.8000"}
    assert score_row(1.49994, None) == {"score": "1.4999", "code": "1", "low": "", "high": ""}


def test_a_skipped_case_keeps_its_row_and_so_does_one_that_is_not_in_this_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    first = [case("a", 1.0), case("b", 1.5), case("c", 0.0)]
    run(QAScores(tmp_path, first, interval=INTERVAL, weights=WEIGHTS), first)
    before = rows(tmp_path / "qa_scores.csv")
    second = [case("a", 0.0, skipped="finished before"), case("d", 1.25), case("c", 2.0)]
    scores = QAScores(tmp_path, second, weights=WEIGHTS)
    with caplog.at_level(logging.INFO):
        run(scores, second)
    after = rows(scores.path)
    assert list(after) == ["c", "b", "d", "a"]
    assert [after[name] for name in "ab"] == [before[name] for name in "ab"]
    assert after["c"]["score"] == "2.0000"
    assert "3 cases: 2 scored, 1 skipped (finished before); see" in caplog.text
    scores.raise_for_set_aside()


def test_scores_of_other_weights_do_not_stay_among_the_new_ones(tmp_path: Path):
    for name in ("first.pt", "second.pt"):
        (tmp_path / name).write_text(name)
    for weights, names in (("first.pt", "ab"), ("first.pt", "c"), ("second.pt", "cd")):
        cases = [case(name, 1.0) for name in names]
        run(QAScores(tmp_path, cases, weights=tmp_path / weights), cases)
        if weights == "first.pt":
            before = rows(tmp_path / "qa_scores.csv")
    assert list(before) == ["a", "b", "c"]
    after = rows(tmp_path / "qa_scores.csv")
    assert list(after) == ["c", "d"]
    assert after["c"]["weights"] == after["d"]["weights"] != before["c"]["weights"] != ""


def test_a_case_that_is_set_aside_loses_its_earlier_score(tmp_path: Path):
    run(QAScores(tmp_path, [case("a", 1.0)], weights=WEIGHTS), [case("a", 1.0)])
    run(QAScores(tmp_path, [case("a", None)], weights=WEIGHTS), [case("a", None)])
    row = rows(tmp_path / "qa_scores.csv")["a"]
    assert (row["status"], row["score"], row["code"]) == ("set_aside", "", "")


def test_rows_are_in_the_file_as_soon_as_their_cases_are_done(tmp_path: Path):
    cases = [case("c", 0.0), case("a", 1.0), case("b", None)]
    seen = []
    run(QAScores(tmp_path, cases, weights=WEIGHTS), cases, lambda: seen.append(list(rows(tmp_path / "qa_scores.csv"))))
    assert seen == [["c"], ["c", "a"], ["c", "a", "b"]]
    assert list(score_table(tmp_path).read()) == ["a", "c", "b"]


def test_a_killed_run_keeps_what_it_scored(tmp_path: Path):
    cases = [case("a", 0.0), case("b", 1.0)]

    def killed() -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        run(QAScores(tmp_path, cases, weights=WEIGHTS), cases, killed)
    assert list(rows(tmp_path / "qa_scores.csv")) == ["a"]


def test_the_montage_is_named_from_the_tables_folder_and_one_of_elsewhere_by_its_name(tmp_path: Path):
    out, png = tmp_path / "out", tmp_path / "out" / "montages"
    png.mkdir(parents=True)
    (tmp_path / "pictures").mkdir()
    (png / "drawn.png").touch()
    (tmp_path / "pictures" / "given.png").touch()
    cases = [
        {"case_id": "drawn", "shade": 1.5, "image": "ct.nii.gz"},
        {"case_id": "lost", "shade": 1.0, "image": "ct.nii.gz"},
        case("given", 0.5, tmp_path / "pictures"),
    ]
    run(QAScores(out, cases, png_dir=png, weights=WEIGHTS), cases)
    table = rows(out / "qa_scores.csv")
    assert {name: row["montage"] for name, row in table.items()} == {
        "drawn": "montages/drawn.png", "lost": "", "given": "given.png",
    }  # fmt: skip


def test_without_a_folder_of_pictures_no_montage_is_named(tmp_path: Path):
    cases = [{"case_id": "a", "shade": 1.5, "image": "ct.nii.gz"}]
    (tmp_path / "a.png").touch()
    run(QAScores(tmp_path, cases, weights=WEIGHTS), cases)
    assert rows(tmp_path / "qa_scores.csv")["a"]["montage"] == ""
