"""Scores of the segmentations of an inference run."""

import csv
from pathlib import Path

import pytest
import torch
from monai.data import DataLoader, MetaTensor
from torch import Tensor, nn

from custom_components.data.conformal import ScoreInterval
from custom_components.data.set_aside import SetAsideDataset
from custom_components.engines import CaseEvaluator
from custom_components.handlers.segmentation_score import SegmentationScore
from custom_components.handlers.segmentation_summary import SegmentationSummary
from custom_components.inferers import AutocastInferer
from custom_components.preprocessing import segmentation_postprocessing
from custom_components.transforms.montage import montage

FLOAT32 = AutocastInferer(cpu_bfloat16=False)


class Mean(nn.Module):
    """Scores a montage by its mean red, so that both CT and organs count."""

    def forward(self, picture: Tensor) -> Tensor:
        return picture[:, :1].mean((1, 2, 3))[:, None] * 3


def load(item: dict) -> dict:
    if "bad" in item["case_id"]:
        raise ValueError("truncated")
    torch.manual_seed(len(item["case_id"]))
    return {"case_id": item["case_id"], "image": MetaTensor(torch.rand(1, 8, 8, 4), affine=torch.eye(4))}


def run(folder: Path, *, interval: ScoreInterval | None = None) -> tuple[dict[str, dict], nn.Module]:
    torch.manual_seed(0)
    network = nn.Conv3d(1, 13, 1)
    cases = [{"case_id": name, "image": "x"} for name in ("a", "bad", "ccc")]
    summary = SegmentationSummary(folder)
    CaseEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(SetAsideDataset(cases, load), batch_size=1),
        network=network,
        inferer=FLOAT32,
        postprocessing=segmentation_postprocessing(invert=False),
        val_handlers=[SegmentationScore(Mean(), interval=interval, size=(16, 16), inferer=FLOAT32), summary],
    ).run()
    with summary.path.open() as file:
        return {row["case_id"]: row for row in csv.DictReader(file)}, network


@torch.no_grad()
def test_score_is_that_of_the_montage_of_the_hard_segmentation(tmp_path: Path):
    rows, network = run(tmp_path, interval=ScoreInterval(0.9, 0.25, 50))
    for name in ("a", "ccc"):
        image = load({"case_id": name})["image"].as_tensor()[None]
        score = float(Mean()(montage(image, network(image).argmax(1, keepdim=True), size=(16, 16))))
        row = rows[name]
        assert float(row["score"]) == pytest.approx(score, abs=1e-4)
        assert row["code"] == str(round(score))
        assert float(row["high"]) == pytest.approx(score + 0.25, abs=1e-3)
    assert rows["a"]["score"] != rows["ccc"]["score"]


def test_a_case_that_is_set_aside_gets_no_score_of_another(tmp_path: Path):
    rows, _ = run(tmp_path)
    assert (rows["bad"]["status"], rows["bad"]["score"], rows["bad"]["code"]) == ("set_aside", "", "")
    assert (rows["ccc"]["low"], rows["ccc"]["high"]) == ("", "")
