"""Images by case id, of a folder or of a list."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from custom_components.data.case_files import image_files
from custom_components.data.qa_inference import find_montage_cases

LISTS = {
    "name": "archive",
    "numTest": 1,
    "empty": [],
    "training": [{"image": "ct/Zaphod.nii.gz", "label": "l.nii.gz", "case_id": "case_1"}],
    "unlabeled": [{"image": ["ct/1", "ct/2"], "case_id": "case_2"}, {"image": "ct/Zaphod.nii.gz", "case_id": "case_1"}],
    "test": ["ct/plain.nii.gz"],
    "left_out": [{"image": "ct/bad.nii.gz", "case_id": "case_4", "reason": "no HU"}],
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "ct").mkdir()
    for name in ("1", "2", "Zaphod.nii.gz", "plain.nii.gz", "other.nii.gz"):
        (tmp_path / "ct" / name).touch()
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps(LISTS))
    return path


def test_all_lists_of_a_datalist_count_but_what_is_left_out(path: Path):
    ct = path.parent / "ct"
    assert image_files(path) == {
        "case_1": [ct / "Zaphod.nii.gz"],
        "case_2": [ct / "1", ct / "2"],
        "plain": [ct / "plain.nii.gz"],
    }


def test_one_list_of_a_datalist_is_named_after_a_colon(path: Path):
    assert list(image_files(f"{path}:test")) == ["plain"]
    assert list(image_files(f"{path}:left_out")) == ["case_4"]
    with pytest.raises(ValueError, match="section 'absent' not found, found empty, training"):
        image_files(f"{path}:absent")


def test_an_id_of_two_images_of_a_datalist_is_set_aside(path: Path):
    path.write_text(json.dumps({**LISTS, "test": [{"image": "ct/other.nii.gz", "case_id": "case_1"}]}))
    reason = "case id 'case_1' belongs to 2 images; name them apart in a datalist"
    assert image_files(path)["case_1"] == reason


def test_a_datalist_without_a_file_says_so_without_its_name(path: Path):
    (path.parent / "ct" / "Zaphod.nii.gz").unlink()
    labels = path.parent / "seg"
    labels.mkdir()
    for name in ("case_1", "case_2"):
        (labels / f"{name}.nii.gz").touch()
    one, two, plain = find_montage_cases(path, labels)
    assert one["error"] == "case_1: No such file or directory"
    assert (two["source"], "error" in two) == ("case_2", False)
    assert plain["error"] == "no segmentation"


def test_csv_and_lists_without_sections_are_read_too(path: Path):
    path.write_text(json.dumps(["ct/plain.nii.gz"]))
    assert list(image_files(path)) == ["plain"]
    (path.parent / "list.csv").write_text("image,case_id\nct/plain.nii.gz,x\n")
    assert list(image_files(path.parent / "list.csv")) == ["x"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"^images is .*dataset.json: no JSON"),
        ('{"test": []}', r"dataset.json: .*expected at least one"),
        ('{"left_out": ["a.nii.gz"]}', r"dataset.json: .*expected at least one"),
    ],
)
def test_a_datalist_of_another_form_is_an_error(path: Path, text: str, message: str):
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        image_files(path)


def test_a_file_that_is_no_list_is_an_error(path: Path):
    with pytest.raises(ValueError, match=r"^images is .*plain.nii.gz, found a file, expected a folder"):
        image_files(path.parent / "ct" / "plain.nii.gz")
    with pytest.raises(ValueError, match=r"^images is .*absent.json, found nothing, expected a folder"):
        image_files(path.parent / "absent.json")
