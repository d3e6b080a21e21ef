"""The DICOM SEGs of an inference run: when they are written, kept and removed, and what is said of failures."""

from __future__ import annotations

import csv
import logging
import os
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from case_engine import case_engine
from dicom_files import write_enhanced, write_series
from monai.data import MetaTensor

from custom_components.data.cases import find_cases, inference_cases
from custom_components.data.layout import dicom_seg_path, segmentation_path
from custom_components.data.readers import VolumeReader
from custom_components.engines import CaseResult
from custom_components.handlers.dicom_segmentations import DicomSegmentations
from custom_components.handlers.segmentation_summary import SegmentationSummary

VOXELS = np.random.default_rng(0).integers(-200, 200, (6, 5, 4)).astype(np.int16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images: two DICOM series, one of them without frame of reference, and a NIfTI file; and weights."""
    write_series(tmp_path / "in" / "whole", VOXELS)
    write_series(tmp_path / "in" / "part", VOXELS, FrameOfReferenceUID=None)
    nib.save(nib.Nifti1Image(VOXELS, np.eye(4)), tmp_path / "in" / "other.nii.gz")
    (tmp_path / "model.pt").write_bytes(b"weights")
    return tmp_path


def run(folder: Path, statuses: dict[str, str], *, dicom: bool = True, **options: Any) -> dict[str, dict[str, str]]:
    """Do as an inference does: write the label map of each case that is `ok`; returns the rows of its summary."""
    cases, out = inference_cases(folder / "in", output_dir=folder / "out"), folder / "out"
    dicom_seg = DicomSegmentations(cases, out, algorithm="baseline_seg", weights=folder / "model.pt") if dicom else None
    summary = SegmentationSummary(out, dicom_seg=dicom_seg, **options)

    def step(engine: Any, case: dict[str, Any]) -> list[dict]:
        engine.state.case = CaseResult(case["case_id"], statuses[case["case_id"]])
        if engine.state.case.status != "ok":
            return [{}]
        reader = VolumeReader()
        voxels, meta = reader.get_data(reader.read(case["image"]))
        path = segmentation_path(out, case["case_id"])
        path.parent.mkdir(exist_ok=True)
        labels = np.full(voxels.shape, 6, np.uint8)
        nib.save(nib.Nifti1Image(labels, meta["affine"]), path)
        return [{"pred": MetaTensor(labels[None], affine=meta["affine"])}]

    engine = case_engine(step)
    summary.attach(engine)
    engine.run([case for case in cases if case["case_id"] in statuses])
    with summary.path.open(newline="") as file:
        return {row["case_id"]: row for row in csv.DictReader(file)}


def test_a_dicom_case_has_a_seg_others_are_counted_and_a_bad_one_is_told(
    folder: Path, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.INFO):
        rows = run(folder, {"whole": "ok", "part": "ok", "other": "ok"})
    assert {name: row["status"] for name, row in rows.items()} == {"whole": "ok", "part": "set_aside", "other": "ok"}
    assert rows["part"]["reason"] == "no DICOM SEG: a slice lacks FrameOfReferenceUID"
    assert rows["part"]["liver_ml"] == rows["whole"]["liver_ml"] != "0.00"
    assert segmentation_path(folder / "out", "part").is_file()
    assert [path.name for path in folder.glob("out/*/*.dcm")] == ["whole_seg.dcm"]
    assert "DICOM SEG: 1 written, 1 failed, none of 1 cases that are no DICOM series" in caplog.text
    assert "part: set aside: no DICOM SEG: a slice lacks FrameOfReferenceUID" in caplog.text
    assert "Secret" not in caplog.text


def test_a_finished_case_gets_a_seg_that_is_missing_or_older_and_keeps_another(folder: Path):
    run(folder, {"whole": "ok"}, dicom=False)
    path = dicom_seg_path(folder / "out", "whole")
    assert not path.exists()
    rows = run(folder, {"whole": "skipped"})
    assert rows["whole"]["status"] == "skipped"
    seg = pydicom.dcmread(path)
    (algorithm,) = seg.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence
    assert "AlgorithmParameters" not in algorithm  # who knows with which weights an earlier run did it
    run(folder, {"whole": "skipped"})
    assert pydicom.dcmread(path).SOPInstanceUID == seg.SOPInstanceUID
    old = segmentation_path(folder / "out", "whole").stat().st_mtime_ns - 1
    os.utime(path, ns=(old, old))
    run(folder, {"whole": "skipped"})
    assert pydicom.dcmread(path).SOPInstanceUID != seg.SOPInstanceUID


def test_no_seg_stays_of_a_segmentation_that_was_replaced_or_is_set_aside(folder: Path):
    path = dicom_seg_path(folder / "out", "whole")
    run(folder, {"whole": "ok"})
    assert path.is_file()
    run(folder, {"whole": "ok"}, dicom=False)
    assert not path.exists()
    run(folder, {"whole": "ok"})
    run(folder, {"whole": "set_aside"}, overwrite=True)
    assert not path.exists()
    assert not segmentation_path(folder / "out", "whole").exists()


def test_a_folder_with_one_file_of_several_frames_has_a_seg(folder: Path):
    write_enhanced(folder / "in" / "frames" / "a.dcm", VOXELS, position=lambda i: [0.0, 0.0, -3.0 * i])
    rows = run(folder, {"frames": "ok"})
    assert rows["frames"]["status"] == "ok"
    assert pydicom.dcmread(dicom_seg_path(folder / "out", "frames")).NumberOfFrames == VOXELS.shape[2]


def test_results_are_not_taken_for_images_of_another_run(folder: Path):
    run(folder, {"whole": "ok"})
    (folder / "out").rename(folder / "in" / "old")
    assert sorted(case["case_id"] for case in find_cases(folder / "in")) == ["other", "part", "whole"]


def test_without_highdicom_the_run_ends_with_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(SystemExit, match=r"^error: highdicom .*pip install highdicom"):
        DicomSegmentations([], folder, algorithm="a", weights="b")
