"""A folder with every kind of trouble through the command."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydicom
import pytest
from dicom_files import write_series
from intake_files import DATES, SECRET, scan, troubled_folder, write_itk, write_nifti
from monai.transforms import LoadImage

from custom_components.data.cases import inference_cases
from custom_components.data.layout import segmentation_path
from custom_components.data.qa_sources import QASource, source_entries
from custom_components.data.readers import VolumeReader, read_volume
from custom_components.intake.look import look
from custom_components.review.cohort import Cohort
from custom_components.review_command import find_sources

USABLE = {"Zaphod", "Zaphod_1", "a", "good", "good_2", "mixed", "padded"}
LEFT_OUT = {
    "Zaphod_1_2": ("picture", "secondary capture, as of a screen or a dose report"),
    "Zaphod_1_3": ("localiser", "by its image type"),
    "mixed_2": ("not axial", "slices are coronal"),
    "mixed_3": ("no CT", "modality is MR"),
    "gap": ("cannot be read", "no DICOM, truncated or damaged"),
    "gap_2": ("uneven slices", "1 missing, 6.0 instead of 3.0 mm apart"),
    "phases": ("uneven slices", "6 at the place of another: several phases in one series?"),
    "tilt": ("tilted gantry", "slices shift by 18.4 degrees"),
    "few": ("no volume", "has 4 slices, expected at least 8"),
    "placeless": ("no geometry", "12 of 12 slices lack ImagePositionPatient"),
    "cut": ("cannot be read", "a DICOM slice is truncated or damaged"),
    "labels": ("label map", "values 0 to 3"),
    "shifted": ("no HU", "values -26 to 1555 look like HU + 1024"),
    "bytes": ("no HU", "values 0 to 255: windowed to 8 bits"),
    "unit": ("no HU", "values 0 to 1: normalised, or probabilities"),
    "constant": ("no HU", "every voxel is 7, expected an image"),
    "nan": ("no HU", "1 of 17280 voxels are NaN or infinite, expected finite values"),
    "series4d": ("no volume", "size is 40 x 36 x 12 x 2: 2 volumes, expected one 3D volume"),
    "flat": ("no volume", "size is 40 x 36 x 1: a 2D image, expected a 3D volume"),
    "placeless_2": (
        "no geometry", "has no affine: sform_code and qform_code are 0, expected one of them above 0",
    ),
    "sheared": ("no geometry", "sheared by 14.0 degrees, as by a tilted gantry"),
    "micrometres": ("no geometry", "its sides are 120000 x 108000 x 48000 mm"),
    "repeated": ("uneven slices", "1 of 12 equal the one before"),
    "coronal": ("not axial", "slices are coronal"),
    "other name": ("duplicate", "same voxels as Zaphod"),
    "of dicom": ("duplicate", "same voxels as Zaphod_1"),
    "other spacing": ("duplicate", "same voxels as Zaphod, but with 3 x 3 x 5 mm instead of 3 x 3 x 4 mm"),
}  # fmt: skip


class Run(NamedTuple):
    folder: Path
    output: Path
    printed: str
    rows: dict[str, dict[str, str]]
    listing: dict


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return troubled_folder(tmp_path_factory.mktemp("hospital") / "archive")


def run(call, folder: Path, output: Path, *words: object) -> Run:
    code, out, err = call(
        "intake", folder, "--output", output, "--workers", 0, "--body_part_path", "none", *words
    )  # fmt: skip
    assert code == 0, err
    with (output / "intake.csv").open() as file:
        rows = {row["case_id"]: row for row in csv.DictReader(file)}
    return Run(folder, output, out + err, rows, json.loads((output / "dataset.json").read_text()))


def test_every_trouble_is_told_with_its_reason_and_only_what_is_good_is_listed(call, folder: Path, tmp_path: Path):
    _, _, printed, rows, listing = run(call, folder, tmp_path / "out", "--keep_names")
    assert {name for name, row in rows.items() if row["status"] == "usable"} == USABLE
    found = {name: (row["kind"], row["reason"]) for name, row in rows.items() if row["status"] == "left out"}
    truncated = found.pop("Zaphod_truncated")
    assert truncated[0] == "cannot be read"
    assert truncated[1].startswith("truncated or damaged: ")
    assert found == LEFT_OUT
    assert {entry["case_id"] for entry in listing["unlabeled"]} == USABLE
    assert {entry["case_id"]: entry["reason"] for entry in listing["left_out"]}["mixed_3"] == "no CT: modality is MR"
    assert "7 of 35 images can be used\n" in printed
    assert "5 files are no images: 2 other files, 1 DICOMDIR, 1 .txt, 1 .pdf\n" in printed
    assert max(map(len, printed.partition("7 of 35")[0].splitlines())) <= 120
    table = [line for line in printed.splitlines() if line.startswith(" ") and "NIfTI" in line]
    assert len(table) == 19


def test_rows_hold_geometry_values_and_slices(call, folder: Path, tmp_path: Path):
    rows = run(call, folder, tmp_path / "out", "--keep_names").rows
    row = rows["mixed"]
    assert [row[f"size_{axis}"] for axis in "xyz"] == ["40", "36", "12"]
    assert [row[f"spacing_{axis}"] for axis in "xyz"] == ["0.8", "0.8", "3"]
    assert [row[f"extent_{axis}"] for axis in "xyz"] == ["32", "28.8", "36"]
    assert (row["format"], row["files"], row["orientation"], row["plane"]) == ("DICOM", "12", "LPS", "axial")
    assert (row["missing_slices"], row["repeated_slices"]) == ("0", "0")
    for name, hu in (("air", -1000), ("fat", -100), ("soft_tissue", 50)):
        assert abs(float(row[name]) - hu) <= 5
    assert float(rows["padded"]["low"]) > -1100
    assert (rows["gap_2"]["missing_slices"], rows["phases"]["repeated_slices"]) == ("1", "6")
    assert rows["repeated"]["repeated_slices"] == "1"
    assert rows["a"]["notes"] == "6 files hold a slice again"
    assert rows["Zaphod_1_3"]["plane"] == rows["mixed_2"]["plane"] == rows["coronal"]["plane"] == "coronal"
    assert rows["of dicom"]["voxels"] == rows["Zaphod_1"]["voxels"] != rows["a"]["voxels"]


def test_what_is_listed_is_what_an_inference_loads(call, folder: Path, tmp_path: Path):
    found = run(call, folder, tmp_path / "out", "--section", "test", "--keep_names")
    cases = inference_cases(datalist=found.output / "dataset.json", output_dir=tmp_path / "segmentations")
    assert {case["case_id"] for case in cases} == USABLE
    assert not any("error" in case for case in cases)
    images = {case["case_id"]: case["image"] for case in cases}
    expected = {"Zaphod": 20, "Zaphod_1": 1, "a": 3, "mixed": 4}
    for case_id, seed in expected.items():
        image = images[case_id]
        voxels, _ = VolumeReader().get_data(tuple([image] if isinstance(image, str) else image))
        np.testing.assert_array_equal(voxels, scan(seed))


def test_a_series_alone_in_its_folder_is_listed_as_the_folder(call, tmp_path: Path):
    write_series(tmp_path / "in" / "series", scan(0))
    listing = run(call, tmp_path / "in", tmp_path / "out").listing
    assert listing["unlabeled"] == [{"image": "../in/series", "case_id": "case_0001"}]
    assert read_volume(tmp_path / "out" / listing["unlabeled"][0]["image"]).shape == (1, 40, 36, 12)


@pytest.mark.parametrize("tag", ["SliceThickness", "SeriesNumber"])
def test_a_series_of_which_a_tag_differs_in_each_slice_is_used_and_its_folder_not_named(call, tmp_path: Path, tag: str):
    folder = tmp_path / "in" / f"{SECRET} Beeblebrox"
    write_series(folder, scan(0))
    for number, path in enumerate(sorted(folder.iterdir())):
        slice_ = pydicom.dcmread(path)
        setattr(slice_, tag, f"{3 + number / 1000:.3f}" if tag == "SliceThickness" else number)
        slice_.save_as(path)
    found = run(call, tmp_path / "in", tmp_path / "out")
    assert (found.rows["case_0001"]["status"], found.rows["case_0001"]["reason"]) == ("usable", "")
    assert SECRET not in found.printed + (found.output / "intake.csv").read_text()
    (case,) = inference_cases(datalist=found.output / "dataset.json", section="unlabeled", output_dir=tmp_path / "seg")
    assert len(case["image"]) == 12
    np.testing.assert_array_equal(VolumeReader().get_data(tuple(case["image"]))[0], scan(0))


def test_what_is_listed_stands_for_the_folder_of_images_in_montage_review_and_split(call, folder: Path, tmp_path: Path):
    """With the ids that the listing has, which the files do not."""
    listing = run(call, folder, tmp_path / "out").output / "dataset.json"
    cases = inference_cases(datalist=listing, section="unlabeled", output_dir=tmp_path / "segmentations")
    assert len(cases) == len(USABLE)
    for case in cases:
        image = LoadImage(reader=VolumeReader(), image_only=True)(case["image"])
        labels = np.where(image.numpy() > 0, 6, 0).astype(np.uint8)
        path = segmentation_path(tmp_path / "segmentations", case["case_id"])
        write_nifti(path, labels, image.affine.numpy())
    words = ("montage", listing, tmp_path / "segmentations", tmp_path / "montages", "--workers", 0)
    code, out, err = call(*words, "--pixdim", "3,3,4", "--roi_size", "16,16,9", "--body_part_path", "none")
    assert (code, out) == (0, f"7 montages; see {tmp_path}/montages/montages.csv\n"), err
    names = {case["case_id"] for case in cases}
    assert {path.stem for path in (tmp_path / "montages").glob("*.png")} == names
    assert SECRET not in (tmp_path / "montages" / "montages.csv").read_text() + out
    (source,) = find_sources(str(tmp_path / "segmentations"), images=str(listing))
    items = Cohort([source], tmp_path / "review").find()
    assert {item.case_id for item in items if not item.fault} == names
    (tmp_path / "codes.csv").write_text("case_id,code\n" + "".join(f"{name},0\n" for name in sorted(names)))
    rated = QASource(tmp_path / "codes.csv", images=listing, segmentations=tmp_path / "segmentations")
    assert {entry["case_id"] for entry in source_entries(rated).entries} == names


def test_nothing_that_identifies_a_patient_is_written_or_printed(call, folder: Path, tmp_path: Path):
    found = run(call, folder, tmp_path / "out")
    assert set(found.rows) == {f"case_{number:04d}" for number in range(1, 36)}
    files = [path for path in found.output.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"intake.csv", "contact_sheet.png", "dataset.json", "case_ids.json"}
    for word in (SECRET, *DATES):
        assert word.lower() not in found.printed.lower()
        for path in files:
            if path.name != "dataset.json":  # which needs the paths
                assert word.lower().encode() not in path.read_bytes().lower(), path
                assert word.lower() not in path.name.lower()
    text = (found.output / "dataset.json").read_text()
    assert not any(word in text for word in (*DATES, "Beeblebrox", "General"))


def test_names_that_are_not_utf_8_end_nothing(call, tmp_path: Path):
    name = os.fsdecode(b"M\xfcller")
    try:
        write_nifti(tmp_path / "in" / "a.nii.gz", scan(0)).rename(tmp_path / "in" / f"{name}.nii.gz")
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    write_itk(tmp_path / "in" / "a.nrrd", scan(1)).rename(tmp_path / "in" / f"{name}.nrrd")
    write_series(tmp_path / "in" / name, scan(2))
    found = run(call, tmp_path / "in", tmp_path / "out")
    rows = [(row["format"], row["reason"]) for row in found.rows.values()]
    fault = "its name, or that of a folder, is not UTF-8: rename it"
    assert sorted(rows) == [("DICOM", fault), ("NIfTI", ""), ("NRRD", fault)]
    (case,) = inference_cases(datalist=found.output / "dataset.json", section="unlabeled", output_dir=tmp_path / "seg")
    np.testing.assert_array_equal(VolumeReader().get_data((case["image"],))[0], scan(0))
    named = run(call, tmp_path / "in", tmp_path / "named", "--keep_names")
    assert sorted(named.rows) == ["M�ller", "M�ller_2", "M�ller_3"]
    cases = inference_cases(tmp_path / "in", output_dir=tmp_path / "seg")
    (case,) = cases
    assert case["error"].startswith("case id 'M�ller' belongs to 3 images: M�ller, M�ller.nii.gz")


def test_finished_images_are_not_read_again_unless_they_change(call, tmp_path: Path):
    for name, seed in (("a", 1), ("b", 2)):
        write_nifti(tmp_path / "in" / f"{name}.nii.gz", scan(seed))
    first = run(call, tmp_path / "in", tmp_path / "out")
    finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "finished").iterdir()}
    assert len(finished) == 4  # facts and a tile of each
    write_nifti(tmp_path / "in" / "0.nii.gz", scan(1))
    write_nifti(tmp_path / "in" / "b.nii.gz", scan(3, (40, 36, 10)))
    second = run(call, tmp_path / "in", tmp_path / "out")
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert second.rows["case_0001"] == first.rows["case_0001"]
    assert second.rows["case_0002"]["size_z"] == "10"
    assert second.rows["case_0003"]["reason"] == "same voxels as case_0001"  # ids stay, though it is the first file now


def test_an_interrupted_run_goes_on_where_it_was(call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for seed in range(3):
        write_nifti(tmp_path / "in" / f"{seed}.nii.gz", scan(seed))
    looked = []

    def interrupted(task):
        if len(looked) == 1:
            raise KeyboardInterrupt
        looked.append(task.image.paths)
        return look(task)

    monkeypatch.setattr("custom_components.intake.look_over.look", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(call, tmp_path / "in", tmp_path / "out")
    assert len(list((tmp_path / "out" / "finished").glob("*.json"))) == 1
    looked.append("the second run")
    found = run(call, tmp_path / "in", tmp_path / "out")
    assert [Path(path).name for (path,) in looked[2:]] == ["1.nii.gz", "2.nii.gz"]
    assert len(found.rows) == 3


def test_mistakes_are_told_in_one_line(call, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    write_nifti(tmp_path / "in" / "a.nii.gz", scan(0))
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / f"a.{SECRET}").touch()
    for words, said in (
        ((tmp_path / "absent",), f"folder is {tmp_path}/absent, found nothing, expected a folder"),
        (
            (tmp_path / "empty",),
            f"folder is {tmp_path}/empty, found no files, expected NIfTI, NRRD, MHA or DICOM",
        ),
        ((tmp_path / "texts",), f"folder is {tmp_path}/texts, found no image but 1 other files, expected NIfTI"),
        ((tmp_path / "in", "--output", tmp_path / "in"), f"output is {tmp_path}/in, the same as folder"),
        ((tmp_path / "in", "--output", tmp_path / "file" / "out"), f"{tmp_path}/file"),
        ((tmp_path / "in", "--section", "training"), "section is 'training', expected unlabeled or test"),
        ((tmp_path / "in", "--body_part_path", "absent.pt"), "absent.pt: no such file, expected the weights"),
    ):
        code, out, err = call("intake", "--output", tmp_path / "out", "--workers", 0, *words)
        assert (code, out) == (2, ""), words
        (line,) = [line for line in err.replace("\r", "\n").splitlines() if "error" in line]
        assert line.startswith(f"error: {said}")


def test_the_output_may_lie_in_the_folder(call, tmp_path: Path):
    write_nifti(tmp_path / "a.nii.gz", scan(0))
    run(call, tmp_path, tmp_path / "intake")
    found = run(call, tmp_path, tmp_path / "intake")
    assert list(found.rows) == ["case_0001"]
    assert "no images" not in found.printed


def test_the_exit_code_is_1_if_nothing_can_be_used(call, tmp_path: Path):
    write_nifti(tmp_path / "in" / "a.nii.gz", scan(0) + 1024)
    code, out, _ = call("intake", tmp_path / "in", "--output", tmp_path / "out", "--workers", 0)
    assert code == f"error: none of 1 images can be used; see {tmp_path}/out/intake.csv"
    assert "0 of 1 image can be used" in out
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["unlabeled"] == []


def test_a_process_looks_over_a_folder_with_others(folder: Path, tmp_path: Path):
    shutil.copytree(folder / "dicom" / "mixed", tmp_path / "in")
    write_nifti(tmp_path / "in" / "a.nii.gz", scan(40))
    command = [sys.executable, "-m", "custom_components", "intake", "in", "--workers", "1", "--body_part_path", "none"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert next(line.split()[:4] for line in lines if "case_0001" in line) == [
        "case_0001",
        "NIfTI",
        "40x36x12",
        "3x3x4",
    ]
    assert lines[-1] == "see intake/intake.csv, contact_sheet.png and dataset.json beside it"
    assert "2 of 4 images can be used" in lines
    with (tmp_path / "intake" / "intake.csv").open() as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["usable", "usable", "left out", "left out"]
    listing = json.loads((tmp_path / "intake" / "dataset.json").read_text())
    slices = [str(tmp_path / "intake" / path) for path in listing["unlabeled"][1]["image"]]
    np.testing.assert_array_equal(VolumeReader().get_data(tuple(slices))[0], scan(4))
    assert "Traceback" not in done.stderr
