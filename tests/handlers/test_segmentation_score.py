"""Scores of the segmentations of an inference run."""

import csv
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import DataLoader, MetaTensor
from torch import Tensor, nn

from custom_components.data.case_files import sha256_of
from custom_components.data.cases import inference_cases
from custom_components.data.conformal import ScoreInterval
from custom_components.data.qa_inference import finished_cases
from custom_components.data.set_aside import SetAsideDataset
from custom_components.engines import CaseEvaluator
from custom_components.handlers.segmentation_score import SegmentationScore
from custom_components.handlers.segmentation_summary import SegmentationSummary
from custom_components.inferers import AutocastInferer
from custom_components.learning.intensity_views import Contrast, Gamma
from custom_components.learning.ranking import CandidateRanking
from custom_components.preprocessing import ct_preprocessing, qa_preprocessing, segmentation_postprocessing
from custom_components.transforms.montage import montage

FLOAT32 = AutocastInferer(cpu_bfloat16=False)


class Mean(nn.Module):
    """Scores a montage by its mean red, so that both CT and organs count."""

    def __init__(self, factor: float = 3.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, picture: Tensor) -> Tensor:
        return picture[:, :1].mean((1, 2, 3))[:, None] * self.factor


def load(item: dict) -> dict:
    if "bad" in item["case_id"]:
        raise ValueError("truncated")
    torch.manual_seed(len(item["case_id"]))
    return {"case_id": item["case_id"], "image": MetaTensor(torch.rand(1, 8, 8, 4), affine=torch.eye(4))}


def weights_of(folder: Path, factor: float = 3.0) -> Path:
    """A file that is other for another discriminator."""
    path = folder / "model.pt"
    path.write_text(str(factor))
    return path


def run(
    folder: Path,
    *,
    interval: ScoreInterval | None = None,
    discriminator: nn.Module | None = None,
    candidates: CandidateRanking | None = None,
    output_dir: Path | None = None,
) -> tuple[dict[str, dict], nn.Module]:
    torch.manual_seed(0)
    network = nn.Conv3d(1, 13, 1)
    cases = [{"case_id": name, "image": "x"} for name in ("a", "bad", "ccc")]
    score = SegmentationScore(
        discriminator or Mean(),
        weights=weights_of(folder),
        interval=interval,
        size=(16, 16),
        inferer=FLOAT32,
        candidates=candidates,
    )
    summary = SegmentationSummary(folder, score=score)
    CaseEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(SetAsideDataset(cases, load), batch_size=1),
        network=network,
        inferer=FLOAT32,
        postprocessing=segmentation_postprocessing(invert=False),
        val_handlers=[score, *([Keep(output_dir)] if output_dir else []), summary],
    ).run()
    return rows(folder), network


class Keep:
    """Writes the label map of each case."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if "pred" in engine.state.output[0]:
            pred = engine.state.output[0]["pred"].as_tensor()
            torch.save(pred, self.folder / f"{engine.state.case.case_id}.pt")


def rows(folder: Path) -> dict[str, dict]:
    with (folder / "summary.csv").open() as file:
        return {row["case_id"]: row for row in csv.DictReader(file)}


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


@torch.no_grad()
def test_label_map_and_score_are_those_of_the_candidate_that_is_taken(tmp_path: Path):
    sources = [Gamma(0.2), Gamma(8.0), Contrast(1.2)]
    ranking = CandidateRanking(sources, limit=-1.0, inferer=FLOAT32)
    table, network = run(tmp_path, candidates=ranking, output_dir=tmp_path)
    (tmp_path / "first").mkdir()
    first, _ = run(tmp_path / "first")
    taken = set()
    for name in ("a", "ccc"):
        image = load({"case_id": name})["image"].as_tensor()[None]
        found = {"first": network(image).argmax(1, keepdim=True)}
        found |= {source.name: source(image, network).argmax(1, keepdim=True) for source in sources}
        scores = {key: float(Mean()(montage(image, labels, size=(16, 16)))) for key, labels in found.items()}
        best = min(scores, key=scores.get)
        row = table[name]
        assert row["candidate"] == best
        assert float(row["score"]) == pytest.approx(scores[best], abs=1e-4)
        assert row["first_score"] == first[name]["score"]
        assert torch.equal(torch.load(tmp_path / f"{name}.pt").long(), found[best][0])
        taken.add(best)
    assert taken != {"first"}
    assert (table["bad"]["candidate"], first["a"]["candidate"]) == ("", "")


def test_a_first_score_up_to_the_limit_keeps_the_first_segmentation(tmp_path: Path):
    ranking = CandidateRanking([Gamma(0.2), Gamma(8.0)], limit=3.0, inferer=FLOAT32)
    table, _ = run(tmp_path, candidates=ranking)
    for name in ("a", "ccc"):
        assert table[name]["candidate"] == "first"
        assert table[name]["first_score"] == table[name]["score"]


def test_a_case_that_is_set_aside_gets_no_score_of_another(tmp_path: Path):
    rows, _ = run(tmp_path)
    assert (rows["bad"]["status"], rows["bad"]["score"], rows["bad"]["code"]) == ("set_aside", "", "")
    assert (rows["ccc"]["low"], rows["ccc"]["high"]) == ("", "")


def test_a_score_that_is_no_number_sets_the_case_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    found, _ = run(tmp_path, discriminator=Mean(float("nan")))
    for name in ("a", "ccc"):
        row = found[name]
        assert (row["status"], row["score"], row["code"], row["discriminator_sha256"]) == ("set_aside", "", "", "")
        assert row["reason"].startswith("score is nan, expected a finite number")
        assert f"{name}: set aside: score is nan" in caplog.text
        assert row["liver_ml"] != ""


def segment(folder: Path, factor: float | None, *, interval: ScoreInterval | None = None) -> dict[str, dict]:
    """Segment the CTs of a folder as the bundles do, and score them if there is a factor of the discriminator."""
    grid = {"pixdim": (2.0, 2.0, 4.0), "roi_size": (8, 8, 4)}
    cases = inference_cases(folder / "images", output_dir=folder / "out")
    files = SetAsideDataset(finished_cases(cases, folder / "out"), qa_preprocessing(**grid, size=(16, 16)))
    score = None
    if factor is not None:
        score = SegmentationScore(
            Mean(factor), weights=weights_of(folder, factor), interval=interval, size=(16, 16), inferer=FLOAT32,
            finished=files,
        )  # fmt: skip
    torch.manual_seed(0)
    summary = SegmentationSummary(folder / "out", score=score)
    CaseEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(SetAsideDataset(cases, ct_preprocessing(**grid)), batch_size=1),
        network=nn.Conv3d(1, 13, 1),
        inferer=FLOAT32,
        postprocessing=segmentation_postprocessing(output_dir=folder / "out"),
        val_handlers=[*([score] if score else []), summary],
    ).run()
    return rows(folder / "out")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for number, name in enumerate("ab"):
        voxels = np.random.default_rng(number).integers(-100, 200, (8, 8, 4)).astype(np.int16)
        nib.save(nib.Nifti1Image(voxels, np.diag([2.0, 2.0, 4.0, 1.0])), tmp_path / "images" / f"{name}.nii.gz")
    return tmp_path


def test_finished_cases_are_scored_from_their_files_unless_the_same_discriminator_has_done_it(images: Path):
    without = segment(images, None)
    assert [row["score"] for row in without.values()] == ["", ""]
    first = segment(images, 3.0)
    second = segment(images, 6.0)
    for name in "ab":
        assert (first[name]["status"], second[name]["status"]) == ("skipped", "skipped")
        assert float(second[name]["score"]) == pytest.approx(2 * float(first[name]["score"]), abs=2e-4)
        assert second[name]["discriminator_sha256"] == sha256_of(images / "model.pt")
        assert second[name]["liver_ml"] == without[name]["liver_ml"]
    (images / "out" / "a" / "a_seg.nii.gz").write_bytes(b"damaged")  # nobody needs to read it again
    third = segment(images, 6.0, interval=ScoreInterval(0.9, 0.25, 50))
    assert third["a"]["score"] == second["a"]["score"]
    assert third["a"]["high"] != ""
    assert segment(images, None) == {
        name: {**row, "low": third[name]["low"], "high": third[name]["high"]} for name, row in second.items()
    }


def test_a_segmentation_stays_a_candidate_for_another_discriminator_too(images: Path):
    segment(images, 3.0)
    table = pd.read_csv(images / "out" / "summary.csv", dtype=str)
    table["candidate"], table["first_score"] = ["gamma_0.5", "first"], ["1.5", "0.2"]
    table.to_csv(images / "out" / "summary.csv", index=False)
    again = segment(images, 6.0)
    assert [(again[name]["candidate"], again[name]["first_score"]) for name in "ab"] == [
        ("gamma_0.5", ""),
        ("first", ""),
    ]


def test_a_score_from_the_files_is_that_of_the_run_that_segmented_them(images: Path):
    first = segment(images, 3.0)
    for name in "ab":
        first[name] |= {"status": "skipped"}
    (images / "out" / "summary.csv").unlink()
    again = segment(images, 3.0)
    columns = ("status", "score", "code", "discriminator_sha256", "liver_ml")
    assert [[row[name] for name in columns] for row in again.values()] == [
        [row[name] for name in columns] for row in first.values()
    ]


def test_a_finished_case_that_cannot_be_scored_is_set_aside_without_its_old_score(images: Path):
    segment(images, 3.0)
    (images / "out" / "a" / "a_seg.nii.gz").write_bytes(b"damaged")
    row = segment(images, 6.0)["a"]
    assert (row["status"], row["score"], row["code"], row["discriminator_sha256"]) == ("set_aside", "", "", "")
    assert row["reason"].startswith("no score: segmentation a_seg.nii.gz")
