"""Fixtures for all tests."""

from __future__ import annotations

import csv
import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pytest
from browser_steps import browser, few, page, playwright, server  # noqa: F401 - fixtures
from review_files import helper, open_review  # noqa: F401 - fixtures

from custom_components.__main__ import main
from custom_components.anatomy import INDEX
from custom_components.data.phantom import write_cohort


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a phantom cohort at the small grid: 4 training, 2 validation and 2 test cases."""
    folder = tmp_path_factory.mktemp("cohort")
    write_cohort(folder, training=4, validation=2, unlabeled=1, test=2, seed=0, workers=1)
    return folder


class RatedCohort(NamedTuple):
    """Folders of images, truth, and segmentations before and after; the CSVs of their codes."""

    images: Path
    truth: Path
    before: Path
    after: Path
    codes_before: Path
    codes_after: Path


RATED_GRID = {"pixdim": (6.0, 6.0, 12.0), "roi_size": (16, 16, 9)}
RATED_CODES = {"a": (2, 0), "b": (0, 2), "c": (1, 1), "d": (2, 1), "e": (1, 0)}
"""Code before and after."""


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[object, str, str]]:
    """Run a command in this process; returns its exit code and what it wrote to the two streams."""

    def run(*words: object) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["custom_components", *map(str, words)])
        code: object = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def rated(tmp_path: Path) -> RatedCohort:
    """Five cases of 16 x 16 x 9 voxels with liver and spleen; code 2 lacks the liver, code 1 half of it."""
    folders = {name: tmp_path / name for name in ("images", "truth", "before", "after")}
    truth = np.zeros((16, 16, 9), np.uint8)
    truth[9:15, 4:12, 2:8] = INDEX["liver"]
    truth[1:4, 4:8, 3:7] = INDEX["spleen"]
    half = np.where((truth == INDEX["liver"]) & (np.arange(16) < 8)[None, :, None], 0, truth).astype(np.uint8)
    found = {0: truth, 1: half, 2: np.where(truth == INDEX["liver"], 0, truth).astype(np.uint8)}
    image = np.random.default_rng(0).integers(-100, 200, truth.shape).astype(np.int16)
    rows: dict[str, list[dict[str, object]]] = {"before": [], "after": []}
    for case, codes in RATED_CODES.items():
        write_volume(folders["images"] / f"{case}.nii.gz", image)
        write_volume(folders["truth"] / f"{case}.nii.gz", truth)
        for side, code in zip(rows, codes, strict=True):
            path = write_volume(folders[side] / case / f"{case}_seg.nii.gz", found[code])
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            rows[side].append({"case_id": case, "code": code, "segmentation_sha256": digest})
    files = [write_rows(tmp_path / f"codes_{side}.csv", some) for side, some in rows.items()]
    return RatedCohort(*folders.values(), *files)


def write_volume(path: Path, voxels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels, np.diag([6.0, 6.0, 12.0, 1.0])), path)
    return path


def write_rows(path: Path, rows: list[dict[str, object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path
