from __future__ import annotations

import json
import logging
from pathlib import Path

import ignite.distributed as idist
import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.inferers import SimpleInferer
from torch.utils.data import DistributedSampler

from custom_components.calibration import calibrate, score_all
from custom_components.data.conformal import ScoreInterval, conformal_half_width, read_interval

CODES = [0.0, 1.0, 2.0, 2.0, 0.0, 1.0, 1.0, 2.0, 0.0]
SHADES = [0.25, 0.75, 1.25, 2.0, 0.0, 1.5, 1.125, 1.5, 0.5]
RESIDUALS = [shade - code for shade, code in zip(SHADES, CODES, strict=True)]


class Scaled(torch.nn.Module):
    """The score is the brightness of the montage times a weight; twice that while training."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(scale))

    def forward(self, montage: torch.Tensor) -> torch.Tensor:
        return (1 + self.training) * self.scale * montage.mean((1, 2, 3))[:, None]


def montages(cases: int = len(CODES)) -> DataLoader:
    pairs = list(zip(SHADES, CODES, strict=True))[:cases]
    return DataLoader(Dataset([{"montage": torch.full((3, 2, 2), s), "code": c} for s, c in pairs]), batch_size=4)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.save(Scaled(1.0).state_dict(), tmp_path / "model.pt")
    return tmp_path / "model.pt"


def calibrated(weights: Path, *, coverage: float = 0.8, cases: int = len(CODES)) -> ScoreInterval | None:
    """With a network that has other weights than those that are kept."""
    return calibrate(
        Scaled(7.0).train(),
        weights,
        montages(cases),
        inferer=SimpleInferer(),
        device=torch.device("cpu"),
        coverage=coverage,
    )


def test_scores_and_codes_come_in_the_order_of_the_cases():
    network = Scaled(1.0).train()
    scores, codes = score_all(network, montages(), SimpleInferer(), torch.device("cpu"))
    assert scores.tolist() == SHADES
    assert codes.tolist() == CODES
    assert not network.training


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9])
def test_the_half_width_is_that_of_the_residuals_of_the_kept_weights(
    coverage: float, weights: Path, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.INFO):
        interval = calibrated(weights, coverage=coverage)
    assert interval is not None
    assert interval.half_width == conformal_half_width(RESIDUALS, coverage)
    assert interval.half_width == {0.5: 0.25, 0.8: 0.5, 0.9: 0.75}[coverage]
    assert (interval.coverage, interval.cases) == (coverage, 9)
    stored = read_interval(weights)
    assert stored is not None
    assert (stored.half_width, stored.coverage, stored.cases) == (interval.half_width, coverage, 9)
    content = json.loads(weights.with_suffix(".json").read_text())
    assert content["validation_rmse"] == pytest.approx(float(np.sqrt(np.mean(np.square(RESIDUALS)))))
    assert f"within {interval.half_width:.2f} of the code in {100 * coverage:g} % of cases" in caplog.text


def test_an_interval_of_the_same_weights_stays(weights: Path):
    calibrated(weights)
    before = weights.with_suffix(".json").stat().st_mtime_ns
    assert calibrated(weights) == read_interval(weights)
    assert weights.with_suffix(".json").stat().st_mtime_ns == before


@pytest.mark.parametrize("change", ["weights", "coverage", "cases"])
def test_other_weights_coverage_or_cases_are_calibrated_anew(change: str, weights: Path):
    calibrated(weights)
    if change == "weights":
        torch.save(Scaled(2.0).state_dict(), weights)
        interval = calibrated(weights)
        expected = conformal_half_width([min(2 * s, 2) - c for s, c in zip(SHADES, CODES, strict=True)], 0.8)
    elif change == "cases":
        interval = calibrated(weights, cases=5)
        expected = conformal_half_width(RESIDUALS[:5], 0.8)
    else:
        interval = calibrated(weights, coverage=0.5)
        expected = 0.25
    assert interval is not None
    assert interval.half_width == expected != 0.5
    stored = read_interval(weights)
    assert stored is not None
    assert stored.half_width == expected


def test_too_few_cases_give_an_interval_that_holds_every_code(weights: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        interval = calibrated(weights, coverage=0.9, cases=8)
    assert interval is not None
    assert (interval.half_width, interval.cases) == (2.0, 8)
    assert interval.around(0.3) == (0, 2)
    assert "8 validation cases are too few for an interval of 0.9 coverage: it holds every code" in caplog.text


def test_weights_that_are_not_there_end_the_run_with_one_line(tmp_path: Path):
    with pytest.raises(SystemExit, match=r"^error: no weights at .*model\.pt: make them with"):
        calibrated(tmp_path / "model.pt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("coverage", "beside", "said"),
    [
        (1.5, None, "coverage is 1.5, expected a number between 0 and 1"),
        (0.8, "{}", "model.json has another form .*, expected a score_interval"),
    ],
)
def test_a_users_mistake_ends_the_run_with_one_line(coverage: float, beside: str | None, said: str, weights: Path):
    if beside is not None:
        weights.with_suffix(".json").write_text(beside)
    with pytest.raises(SystemExit, match=f"^error: .*{said}$"):
        calibrated(weights, coverage=coverage)


def test_a_share_of_the_cases_is_not_taken_for_all(weights: Path):
    dataset = montages().dataset
    loader = DataLoader(dataset, batch_size=4, sampler=DistributedSampler(dataset, num_replicas=2, rank=0))
    interval = calibrate(
        Scaled(), weights, loader, inferer=SimpleInferer(), device=torch.device("cpu"), coverage=0.8
    )  # fmt: skip
    assert interval == ScoreInterval(0.8, conformal_half_width(RESIDUALS, 0.8), 9)


def test_the_other_processes_leave_it_to_the_first(weights: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(idist, "get_rank", lambda: 1)
    assert calibrated(weights) is None
    assert not weights.with_suffix(".json").exists()
