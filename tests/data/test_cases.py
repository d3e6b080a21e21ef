from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from dicom_files import write_series

from custom_components.data.cases import find_cases, inference_cases, read_datalist
from custom_components.data.fingerprint import description
from custom_components.data.layout import segmentation_path
from custom_components.data.readers import VolumeReader
from custom_components.files import partial_path

VOXELS = np.random.default_rng(0).integers(-200, 200, (6, 5, 4)).astype(np.int16)


def write_nifti(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(VOXELS, np.diag([2.0, 2.0, 3.0, 1.0])), path)
    return path


def test_finds_all_formats_in_subfolders_sorted_by_case_id(tmp_path: Path) -> None:
    for name in ("b.nii.gz", "deep/down/a.nii", "c.NRRD", "d.mha", "e.mhd", "f.1.2.nii.gz"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    cases = find_cases(tmp_path)
    assert [case["case_id"] for case in cases] == ["a", "b", "c", "d", "e", "f.1.2"]
    assert cases[0] == {
        "case_id": "a",
        "image": str(tmp_path / "deep/down/a.nii"),
        "source": "deep/down/a.nii",
    }


def test_no_key_of_a_case_begins_with_image_(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").touch()
    assert not any(key.startswith("image_") for key in find_cases(tmp_path)[0])


def test_other_and_hidden_files_are_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_nifti(tmp_path / "a.nii.gz")
    for name in ("notes.txt", "table.csv", "README", "._a.nii.gz", ".DS_Store"):
        (tmp_path / name).write_text("text")
    with caplog.at_level(logging.INFO):
        assert [case["case_id"] for case in find_cases(tmp_path)] == ["a"]
    assert "3 files that are no volumes" in caplog.text


def test_dicom_folder_is_one_case_and_a_localiser_in_it_is_not(tmp_path: Path) -> None:
    write_series(tmp_path / "patient", VOXELS, name="IM{:04d}")
    write_series(tmp_path / "patient", VOXELS[:3, :3, :1], number=9, name="scout{}", kind="LOCALIZER")
    (tmp_path / "patient" / "readme.txt").write_text("text")
    cases = find_cases(tmp_path)
    assert [(case["case_id"], case["image"]) for case in cases] == [("patient", str(tmp_path / "patient"))]


def test_a_folder_that_is_itself_a_series_gives_its_own_name(tmp_path: Path) -> None:
    write_series(tmp_path / "patient", VOXELS)
    assert [case["case_id"] for case in find_cases(tmp_path / "patient")] == ["patient"]


def test_a_folder_with_two_series_gives_a_case_for_each(tmp_path: Path) -> None:
    write_series(tmp_path / "patient", VOXELS, number=10, name="a{}.dcm")
    write_series(tmp_path / "patient", VOXELS[..., :3], number=2, name="b{}")
    cases = find_cases(tmp_path)
    assert {case["case_id"]: len(case["image"]) for case in cases} == {"patient_10": 4, "patient_2": 3}
    assert {case["source"] for case in cases} == {"patient (series 2)", "patient (series 10)"}


@pytest.mark.parametrize(
    ("modality", "kind", "found"),
    [*(("CT", kind, "localiser") for kind in ("LOCALIZER", "SCOUT", "TOPOGRAM")), ("MR", "AXIAL", "MR")],
)
def test_dicom_without_a_ct_series_is_set_aside_with_what_was_found(
    tmp_path: Path, modality: str, kind: str, found: str
) -> None:
    write_series(tmp_path / "patient", VOXELS, modality=modality, kind=kind)
    (case,) = find_cases(tmp_path)
    assert case["error"] == f"patient: found {found} (4 files), expected a CT series of several slices"


def test_text_with_a_dicom_suffix_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "patient").mkdir()
    (tmp_path / "patient" / "a.dcm").write_text("text")
    (case,) = find_cases(tmp_path)
    assert case["error"] == "patient: found no DICOM, expected a CT series of several slices"


def test_a_case_id_of_two_images_is_set_aside_with_both_names(tmp_path: Path) -> None:
    for name in ("one/a.nii.gz", "two/a.nii", "b.nii.gz"):
        write_nifti(tmp_path / name)
    a, b = find_cases(tmp_path)
    assert "image" not in a
    assert a["error"] == ("case id 'a' belongs to 2 images: one/a.nii.gz, two/a.nii; name them apart in a datalist")
    assert "error" not in b


def test_results_inside_the_folder_are_not_taken_for_images(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii.gz")
    write_nifti(tmp_path / "results" / "a" / "a_seg.nii.gz")
    assert [case["case_id"] for case in find_cases(tmp_path, skip_dir=tmp_path / "results")] == ["a"]


def test_a_folder_without_volumes_is_an_error_that_says_what_was_found(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"found no files, expected \.nii\.gz"):
        find_cases(tmp_path)
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(ValueError, match="found 1 files, none of them a volume, expected"):
        find_cases(tmp_path)
    with pytest.raises(ValueError, match="found nothing, expected a folder"):
        find_cases(tmp_path / "absent")
    with pytest.raises(ValueError, match="found a file, expected a folder"):
        find_cases(tmp_path / "notes.txt")
    with pytest.raises(ValueError, match="the same as dataset_dir"):
        find_cases(tmp_path, skip_dir=tmp_path)


def test_reads_decathlon_json_with_paths_relative_to_it(tmp_path: Path) -> None:
    write_nifti(tmp_path / "imagesTs" / "a.nii.gz")
    sections = {"training": [], "test": ["./imagesTs/a.nii.gz", {"image": "imagesTs/a.nii.gz", "case_id": "x"}]}
    (tmp_path / "dataset.json").write_text(json.dumps(sections))
    cases = read_datalist(tmp_path / "dataset.json")
    assert [(case["case_id"], Path(case["image"]).is_file()) for case in cases] == [("a", True), ("x", True)]


def test_reads_csv_with_case_ids(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("image,case_id\none/a.nii.gz,first\ntwo/a.nii.gz,\n")
    assert [case["case_id"] for case in read_datalist(tmp_path / "list.csv")] == ["a", "first"]


def test_a_listed_folder_with_two_series_gives_its_case_id_to_both(tmp_path: Path) -> None:
    write_series(tmp_path / "scans" / "patient", VOXELS, number=10, name="a{}.dcm")
    write_series(tmp_path / "scans" / "patient", VOXELS[..., :3], number=2, name="b{}")
    write_series(tmp_path / "scans" / "other", VOXELS)
    (tmp_path / "list.csv").write_text("image,case_id\nscans/patient,p7\nscans/other,p8\n")
    cases = read_datalist(tmp_path / "list.csv")
    assert [case["case_id"] for case in cases] == ["p7_10", "p7_2", "p8"]
    assert [len(case["image"]) for case in cases[:2]] == [4, 3]
    (tmp_path / "list.csv").write_text("image,case_id\nscans/patient,\n")
    assert [case["case_id"] for case in read_datalist(tmp_path / "list.csv")] == ["patient_10", "patient_2"]


def test_a_list_names_the_slices_of_one_of_several_series(tmp_path: Path) -> None:
    write_series(tmp_path / "scans" / "patient", VOXELS, number=10, name="a{}.dcm")
    write_series(tmp_path / "scans" / "patient", VOXELS[..., :3], number=2, name="b{}")
    slices = [f"scans/patient/b{i}" for i in range(3)]
    entries = [{"image": slices, "case_id": "p7"}, {"image": slices}, {"image": [*slices, "scans/absent"]}]
    (tmp_path / "list.json").write_text(json.dumps({"test": entries[:2], "absent": entries[2:]}))
    cases = inference_cases(datalist=tmp_path / "list.json", output_dir=tmp_path / "out")
    assert [(case["case_id"], case["source"]) for case in cases] == [
        ("p7", "p7"), ("patient", "scans/patient"),
    ]  # fmt: skip
    assert cases[0]["image"] == [str(tmp_path / one) for one in slices]
    assert VolumeReader().get_data(tuple(cases[0]["image"]))[0].shape == (6, 5, 3)
    (case,) = inference_cases(datalist=tmp_path / "list.json", output_dir=tmp_path / "out", section="absent")
    assert case["error"] == "scans/patient: No such file or directory"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("d.json", '[{"image": ["a.dcm", 3]}]', "entry 1 has image \\['a.dcm', 3\\], expected a path, or those of"),
        ("d.json", "{", r"d\.json: no JSON"),
        ("d.json", '{"training": []}', "section 'test' not found, found training"),
        ("d.json", '{"test": {}}', "section 'test' is a dict, expected a list"),
        ("d.json", '{"test": []}', "found no entries"),
        ("d.json", '[{"label": "a"}]', "entry 1 has image None, expected a path"),
        ("d.json", '[{"image": "a.nii", "case_id": "../a"}]', "entry 1: case_id is '../a', expected a name"),
        ("d.json", '["/"]', "entry 1: case_id is '', expected a name"),
        ("d.csv", "path\na.nii\n", r"columns are \['path'\], expected 'image'"),
    ],
)
def test_a_datalist_of_another_form_is_an_error(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_datalist(tmp_path / name)


def test_finished_cases_are_skipped_unless_overwritten(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_nifti(tmp_path / "in" / f"{name}.nii.gz")
    out = tmp_path / "out"
    done = write_nifti(segmentation_path(out, "a"))
    partial = partial_path(segmentation_path(out, "b"))
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"half")
    a, b = inference_cases(tmp_path / "in", output_dir=out)
    assert a["skipped"] == "finished before"
    assert "skipped" not in b
    assert not partial.exists()
    assert not any("skipped" in c for c in inference_cases(tmp_path / "in", output_dir=out, overwrite=True))
    assert done.is_file()


def test_a_mistake_ends_the_program_with_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"^error: dataset_dir is .*, found no files, expected") as caught:
        inference_cases(tmp_path, output_dir=tmp_path / "out")
    assert "\n" not in str(caught.value)
    with pytest.raises(SystemExit, match="neither dataset_dir nor datalist"):
        inference_cases(output_dir=tmp_path / "out")
    (tmp_path / "a.nii.gz").touch()
    with pytest.raises(SystemExit, match="output_dir is .*a.nii.gz"):
        inference_cases(tmp_path, output_dir=tmp_path / "a.nii.gz")


def test_a_case_whose_image_was_replaced_is_done_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    images = [write_nifti(tmp_path / "in" / f"{name}.nii.gz") for name in "abc"]
    out = tmp_path / "out"
    for case in inference_cases(tmp_path / "in", output_dir=out):
        image = nib.Nifti1Image(VOXELS, np.eye(4))
        if case["case_id"] != "c":  # that one comes from another program
            image.header["descrip"] = description(case["fingerprint"])
        segmentation_path(out, case["case_id"]).parent.mkdir()
        nib.save(image, segmentation_path(out, case["case_id"]))
    for replaced in (images[1], images[2]):
        nib.save(nib.Nifti1Image(VOXELS[:4], np.eye(4)), replaced)
    cases = inference_cases(tmp_path / "in", output_dir=out)
    assert [case["case_id"] for case in cases if "skipped" in case] == ["a", "c"]
    assert "b: its image, or its crop, is not the one that was segmented before: done again" in caplog.text


def test_results_of_an_earlier_run_elsewhere_are_no_images(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii.gz")
    write_nifti(segmentation_path(tmp_path / "old", "a"))
    assert [case["source"] for case in find_cases(tmp_path)] == ["a.nii.gz"]


def test_the_table_of_contents_of_a_disc_is_no_case(tmp_path: Path) -> None:
    write_series(tmp_path / "disc" / "patient", VOXELS)
    (tmp_path / "disc" / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    assert [case["case_id"] for case in find_cases(tmp_path / "disc")] == ["patient"]


def test_a_folder_that_cannot_be_read_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_nifti(tmp_path / "a.nii.gz")
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def refuse(path: str) -> Any:  # root, as whom tests may run, is refused nothing
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    a, closed = find_cases(tmp_path)
    assert "error" not in a
    assert closed["error"] == "closed: folder cannot be read: Permission denied"


def test_a_file_in_the_place_of_a_result_is_the_matter_of_its_case_alone(tmp_path: Path) -> None:
    for name in "ab":
        write_nifti(tmp_path / "in" / f"{name}.nii.gz")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").write_text("in the way")
    a, b = inference_cases(tmp_path / "in", output_dir=tmp_path / "out")
    assert a["error"] == "a.nii.gz: Not a directory"
    assert "error" not in b
