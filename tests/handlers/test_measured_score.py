"""Measurements of the segmentations of an inference run, and what is taken by them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from monai.data import DataLoader, MetaTensor
from torch import nn

from custom_components.data.set_aside import SetAsideDataset
from custom_components.engines import CaseEvaluator
from custom_components.handlers.measured_score import MeasuredScore, measured_score
from custom_components.handlers.segmentation_summary import SegmentationSummary
from custom_components.inferers import AutocastInferer
from custom_components.learning.code_forest import CodeForest
from custom_components.learning.measured_ranking import MeasuredRanking
from custom_components.learning.measurements import COLUMNS
from custom_components.learning.organ_candidates import OrganLogit
from custom_components.preprocessing import segmentation_postprocessing

FLOAT32 = AutocastInferer(cpu_bfloat16=False)
SPLEEN_ML = COLUMNS.index("spleen_volume_ml")


def load(item: dict) -> dict:
    if "bad" in item["case_id"]:
        raise ValueError("truncated")
    torch.manual_seed(len(item["case_id"]))
    return {"case_id": item["case_id"], "image": MetaTensor(torch.rand(1, 8, 8, 4), affine=torch.eye(4))}


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Conv3d(1, 13, 1)


def run(folder: Path, ranking: MeasuredRanking, names=("a", "bad", "ccc")) -> tuple[pd.DataFrame, pd.DataFrame]:
    CaseEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(
            SetAsideDataset([{"case_id": name, "image": "x"} for name in names], load), batch_size=1
        ),
        network=network(),
        inferer=FLOAT32,
        postprocessing=segmentation_postprocessing(invert=False),
        val_handlers=[MeasuredScore(ranking, folder), SegmentationSummary(folder)],
    ).run()
    return tuple(pd.read_csv(folder / f"{name}.csv").set_index("case_id") for name in ("measurements", "summary"))


def forest() -> CodeForest:
    """Learnt from codes that are the better the larger the spleen is."""
    measured = np.full((60, len(COLUMNS)), 0.5)
    measured[:, SPLEEN_ML] = np.linspace(0, 0.256, 60)
    return CodeForest(measured, np.linspace(2, 0, 60))


def test_every_segmented_case_is_measured(tmp_path: Path):
    measured, summary = run(tmp_path, MeasuredRanking(None, voxel_ml=0.001, inferer=FLOAT32))
    assert measured.index.tolist() == ["a", "ccc"]
    assert list(measured.columns) == list(COLUMNS)
    for organ in ("liver", "spleen"):
        assert (measured[f"{organ}_volume_ml"] - summary.loc[measured.index, f"{organ}_ml"]).abs().max() < 0.006
    assert summary.loc["bad", "status"] == "set_aside"
    assert summary["score"].isna().all()  # nothing has judged


def test_a_second_run_keeps_what_was_measured(tmp_path: Path):
    ranking = MeasuredRanking(None, voxel_ml=0.001, inferer=FLOAT32)
    first, _ = run(tmp_path, ranking, ["a"])
    both, _ = run(tmp_path, ranking, ["ccc"])
    assert both.index.tolist() == ["a", "ccc"]
    pd.testing.assert_frame_equal(both.loc[["a"]], first)


def test_what_is_taken_is_written_measured_and_scored(tmp_path: Path):
    ranking = MeasuredRanking(
        forest(), voxel_ml=0.001, inferer=FLOAT32, committee={"other": network(1)},
        sources=[OrganLogit("spleen", 3.0), OrganLogit("spleen", -3.0)],
    )  # fmt: skip
    measured, summary = run(tmp_path, ranking, ["a", "ccc"])
    plain, _ = run(tmp_path / "plain", MeasuredRanking(None, voxel_ml=0.001, inferer=FLOAT32), ["a", "ccc"])
    assert set(summary["candidate"]) <= {"spleen_+3", "other+spleen_+3"}
    assert (summary["score"] < summary["first_score"]).all()
    assert (measured["spleen_volume_ml"] > plain["spleen_volume_ml"]).all()
    assert (measured["spleen_volume_ml"] - summary["spleen_ml"]).abs().max() < 0.006
    assert (summary["code"] == summary["score"].round()).all()


def made(tmp_path: Path, **options):
    given = {
        "measure": False, "forest": None, "committee_paths": [], "sources": [OrganLogit("liver", 1.0)], "candidates": 0,
        "limit": 0.5, "pixdim": (2, 2, 6), "output_dir": tmp_path, "discriminator_path": None,
    }  # fmt: skip
    return measured_score(network(), **{**given, **options})


def test_a_configuration_gets_what_it_asks_for(tmp_path: Path):
    paths = [tmp_path / folder / "model.pt" for folder in ("one", "two")]
    for seed, path in enumerate(paths):
        path.parent.mkdir()
        torch.save(network(seed).state_dict(), path)
    assert made(tmp_path) is None
    found = made(tmp_path, measure=True, committee_paths=",".join(map(str, paths)), candidates=1).ranking
    assert [name.split("/", 1)[1] for name in found.committee] == ["one/model", "two/model"]
    assert torch.equal(found.committee[f"{tmp_path.name}/two/model"].weight, network(1).weight)
    assert found.voxel_ml == pytest.approx(0.024)
    assert [source.name for source in found.sources] == ["liver_+1"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"committee_paths": ["a.pt"]}, "committee_paths is given, expected measure true or rated_segmentations"),
        ({"measure": True, "committee_paths": ["a.pt"]}, "no weights at a.pt"),
        ({"measure": True, "candidates": 2}, "candidates is 2, expected a whole number from 0 to 1"),
        (
            {"forest": "one", "discriminator_path": "model.pt"},
            "are both given, expected one of them: only one can judge",
        ),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, options: dict, message: str):
    with pytest.raises(SystemExit, match=message):
        made(tmp_path, **options)
