from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from monai.data import DataLoader
from PIL import Image

from custom_components.data.conformal import ScoreInterval
from custom_components.data.set_aside import SetAsideDataset
from custom_components.engines import CaseEvaluator, prepare_montages
from custom_components.handlers.qa_evaluation import QAEvaluation
from custom_components.report.qa_metrics import METRICS

INTERVAL = ScoreInterval(0.9, 0.5, 20)
FILES = {"qa_metrics.json", "qa_metrics.txt", "qa_metrics.png", "qa_predictions.csv"}


class MeanBrightness(torch.nn.Module):
    """The score is the mean of the montage."""

    def forward(self, montage: torch.Tensor) -> torch.Tensor:
        return montage.mean((1, 2, 3))[:, None]


def load(item: dict[str, Any]) -> dict[str, Any]:
    if item["shade"] is None:
        raise ValueError(f"{item['segmentation']}: truncated")
    montage = torch.full((3, 2, 2), float(item["shade"]))
    return {"case_id": item["case_id"], "code": item["code"], "montage": montage}


def case(name: str, code: float, shade: float | None, **more: Any) -> dict[str, Any]:
    files = {"image": f"/data/{name}.nii.gz", "segmentation": f"/data/m/{name}_seg.nii.gz"}
    return {"case_id": name, "code": code, "shade": shade, **files, **more}


def evaluated(folder: Path, cases: list[dict[str, Any]], **options: Any) -> QAEvaluation:
    evaluation = QAEvaluation(folder, cases, resamples=20, **options)
    engine = CaseEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(SetAsideDataset(cases, load), batch_size=1),
        prepare_batch=prepare_montages,
        network=MeanBrightness(),
        val_handlers=[evaluation],
    )
    engine.run()
    return evaluation


def test_all_files_are_written_and_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    cases = [case("a", 0, 0.25), case("b", 1, 1.125), case("c", 2, 0.75), case("d", 2, 2.5, model="m")]
    evaluated(tmp_path / "out", cases, interval=INTERVAL).raise_for_set_aside()
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    table = pd.read_csv(tmp_path / "out" / "qa_predictions.csv", keep_default_na=False)
    assert list(table) == ["case_id", "model", "code", "score", "found_code", "low", "high", "segmentation"]
    assert table["case_id"].tolist() == ["c", "d", "a", "b"]  # the worst error first
    assert table.loc[0].tolist() == ["c", "", 2, 0.75, 1, 0.25, 1.25, "c_seg.nii.gz"]
    assert table.loc[1].tolist() == ["d", "m", 2, 2.5, 2, 1.5, 2.0, "d_seg.nii.gz"]
    content = json.loads((tmp_path / "out" / "qa_metrics.json").read_text())
    assert (content["segmentations"], content["cases"]) == (4, 4)
    assert content["confusion"]["counts"] == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    assert content["metrics"]["accuracy"]["value"] == 0.75
    assert content["metrics"]["interval_coverage"]["value"] == 0.75
    assert content["metrics"]["mae"]["value"] == pytest.approx((0.25 + 0.125 + 1.25 + 0.5) / 4)
    text = (tmp_path / "out" / "qa_metrics.txt").read_text()
    assert all(meaning in text for meaning, _ in METRICS.values())
    assert "0.750" in text
    assert text.splitlines() == capsys.readouterr().out.splitlines()
    with Image.open(tmp_path / "out" / "qa_metrics.png") as picture:
        assert picture.size == (1320, 1080)


def test_it_is_silent_where_nothing_shall_be_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    evaluated(tmp_path, [case("a", 0, 0.25), case("b", 2, 1.5)], show=False)
    assert capsys.readouterr().out == ""


def test_without_an_interval_there_is_none_in_the_files(tmp_path: Path):
    evaluated(tmp_path, [case("a", 0, 0.25), case("b", 2, 1.5)], show=False)
    assert {"low", "high"}.isdisjoint(pd.read_csv(tmp_path / "qa_predictions.csv"))
    content = json.loads((tmp_path / "qa_metrics.json").read_text())
    assert content["metrics"]["interval_coverage"]["value"] is None


def test_bad_cases_are_in_a_table_of_their_own_and_the_others_are_evaluated(tmp_path: Path):
    cases = [case("a", 0, 0.25), case("b", 1, None), case("c", 2, math.nan), case("d", 2, 1.75)]
    evaluation = evaluated(tmp_path, cases, show=False)
    aside = pd.read_csv(tmp_path / "set_aside.csv", keep_default_na=False)
    assert aside["case_id"].tolist() == ["b", "c"]
    assert aside["reason"].tolist() == [
        "segmentation b_seg.nii.gz: truncated",
        "score is nan, expected a finite number: are the weights damaged?",
    ]
    assert pd.read_csv(tmp_path / "qa_predictions.csv")[["case_id", "code", "score"]].values.tolist() == [
        ["a", 0, 0.25], ["d", 2, 1.75],
    ]  # fmt: skip
    assert json.loads((tmp_path / "qa_metrics.json").read_text())["cases"] == 2
    assert "/data" not in (tmp_path / "set_aside.csv").read_text()
    with pytest.raises(SystemExit, match=r"^error: 2 of 4 cases set aside; see .*set_aside\.csv$"):
        evaluation.raise_for_set_aside()


def test_a_later_run_without_bad_cases_removes_their_table(tmp_path: Path):
    evaluated(tmp_path, [case("a", 0, None), case("b", 1, 1.0)], show=False)
    assert (tmp_path / "set_aside.csv").is_file()
    evaluated(tmp_path, [case("a", 0, 0.25), case("b", 1, 1.0)], show=False).raise_for_set_aside()
    assert {path.name for path in tmp_path.iterdir()} == FILES


def test_where_no_case_can_be_scored_the_run_ends_with_one_line(tmp_path: Path):
    evaluated(tmp_path, [case("a", 0, 0.25)], show=False)
    with pytest.raises(SystemExit) as end:
        evaluated(tmp_path, [case("a", 0, None), case("b", 1, None)], show=False)
    assert end.value.code == f"error: none of 2 cases could be scored; see {tmp_path / 'set_aside.csv'}"
    assert pd.read_csv(tmp_path / "set_aside.csv")["case_id"].tolist() == ["a", "b"]


def test_several_segmentations_of_a_case_are_rows_of_their_own_and_one_case(tmp_path: Path):
    cases = [
        case("a", 0, 0.25, model="m", segmentation="/m/a_seg.nii.gz"),
        case("a", 2, 1.25, model="n", segmentation="/n/a.nii.gz"),
        case("b", 1, 1.0, model="m"),
    ]
    evaluated(tmp_path, cases, show=False)
    table = pd.read_csv(tmp_path / "qa_predictions.csv")
    assert table[["case_id", "model", "code", "score", "segmentation"]].values.tolist() == [
        ["a", "n", 2, 1.25, "a.nii.gz"],
        ["a", "m", 0, 0.25, "a_seg.nii.gz"],
        ["b", "m", 1, 1.0, "b_seg.nii.gz"],
    ]
    content = json.loads((tmp_path / "qa_metrics.json").read_text())
    assert (content["segmentations"], content["cases"]) == (3, 2)


def test_the_code_found_is_that_of_the_score_in_the_table(tmp_path: Path):
    evaluated(tmp_path, [case("a", 0, 0.49996), case("b", 1, 1.0)], show=False)
    table = pd.read_csv(tmp_path / "qa_predictions.csv").set_index("case_id")
    counts = json.loads((tmp_path / "qa_metrics.json").read_text())["confusion"]["counts"]
    assert (table.loc["a", "score"], table.loc["a", "found_code"]) == (0.5, 1)
    assert counts == [[0, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_a_soft_code_stays_as_it_is(tmp_path: Path):
    evaluated(tmp_path, [case("a", 0.5, 0.25), case("b", 1.5, 1.0)], show=False)
    assert sorted(pd.read_csv(tmp_path / "qa_predictions.csv")["code"]) == [0.5, 1.5]
