from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import write_series

from custom_components.data.cases import Case
from custom_components.data.qa_inference import MADE_FROM, find_montage_cases, montage_cases, skip_finished


def touched(path: Path, content: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """CTs and segmentations of the cases a to c, in the forms that are allowed."""
    images, labels = tmp_path / "images", tmp_path / "labels"
    for name in ("a.nii.gz", "b.nrrd", "more/c.1.mha"):
        touched(images / name)
    for name in ("a/a_seg.nii.gz", "b.nii.gz", "c.1.nrrd"):
        touched(labels / name)
    return images, labels


def by_case(cases: list[Case]) -> dict[str, Case]:
    return {case["case_id"]: case for case in cases}


def prints(*folders: Path, **options: Any) -> dict[str, str]:
    return {case["case_id"]: case["fingerprint"] for case in find_montage_cases(*folders, **options)}


def test_images_and_segmentations_are_matched_by_case(folders: tuple[Path, Path]):
    images, labels = folders
    cases = find_montage_cases(images, labels)
    assert [case["case_id"] for case in cases] == ["a", "b", "c.1"]
    assert [case["image"] for case in cases] == [str(images / name) for name in ("a.nii.gz", "b.nrrd", "more/c.1.mha")]
    assert [case["segmentation"] for case in cases] == [
        str(labels / name) for name in ("a/a_seg.nii.gz", "b.nii.gz", "c.1.nrrd")
    ]
    assert [case["source"] for case in cases] == ["a.nii.gz", "b.nrrd", "c.1.mha"]
    assert {case["label_set"] for case in cases} == {"abdomen12"}
    assert not any("error" in case for case in cases)
    assert len({case["fingerprint"] for case in cases}) == 3


def test_a_case_that_lacks_one_of_its_files_or_has_several_says_so(folders: tuple[Path, Path]):
    images, labels = folders
    touched(images / "alone.nii")
    touched(labels / "orphan" / "orphan_seg.nii.gz")
    touched(labels / "a.nii.gz")
    touched(images / "again" / "b.nii")
    errors = {name: case.get("error") for name, case in by_case(find_montage_cases(images, labels)).items()}
    assert errors.pop("b").startswith("case id 'b' belongs to 2 images: again/b.nii")
    assert errors == {
        "a": "2 segmentations: a_seg.nii.gz and a.nii.gz, expected one",
        "alone": "no segmentation",
        "c.1": None,
        "orphan": "no image",
    }


def test_a_dicom_series_is_one_image(folders: tuple[Path, Path]):
    images, labels = folders
    write_series(images / "d", np.zeros((4, 4, 3)))
    touched(labels / "d.nii.gz")
    case = by_case(find_montage_cases(images, labels))["d"]
    assert "error" not in case
    assert Path(case["image"]) == images / "d"


def test_a_folder_of_montages_takes_the_place_of_the_two(tmp_path: Path):
    for name in ("a.png", "b.1.PNG", ".partial_c.png", "notes.txt"):
        touched(tmp_path / name)
    cases = find_montage_cases(None, None, montages=tmp_path)
    assert [(case["case_id"], case["montage"]) for case in cases] == [
        ("a", str(tmp_path / "a.png")), ("b.1", str(tmp_path / "b.1.PNG")),
    ]  # fmt: skip
    assert not any({"error", "image", "label_set"} & case.keys() for case in cases)


def test_two_montages_of_a_case_are_one_too_many(tmp_path: Path):
    touched(tmp_path / "a.png")
    touched(tmp_path / "a.PNG")
    (case,) = find_montage_cases(None, None, montages=tmp_path)
    assert case["error"] == "2 montages: a.PNG and a.png, expected one"


def test_what_a_result_is_made_of_decides_its_fingerprint(folders: tuple[Path, Path], tmp_path: Path):
    weights = touched(tmp_path / "model.pt", "weights")
    context = {"made_with": [str(weights), [2.0, 2.0, 6.0]]}
    before = prints(*folders, **context)
    assert prints(*folders, **context) == before
    touched(folders[1] / "b.nii.gz", "another segmentation")
    touched(folders[0] / "more" / "c.1.mha", "another image")
    after = prints(*folders, **context)
    assert {name for name in before if before[name] != after[name]} == {"b", "c.1"}
    touched(weights, "others")
    renewed = prints(*folders, **context)
    others = (
        after,
        prints(*folders, made_with=[weights, [2.0, 2.0, 5.0]]),
        prints(*folders, made_with=[weights]),
        prints(*folders, **context, label_set="btcv"),
        prints(*folders, **context, label_set=["liver", "spleen"]),
    )
    assert all(other[name] != renewed[name] for other in others for name in before)


def test_weights_count_by_what_they_hold_and_not_by_their_name_or_time(folders: tuple[Path, Path], tmp_path: Path):
    one, other = touched(tmp_path / "one.pt", "weights"), touched(tmp_path / "other" / "two.pt", "weights")
    os.utime(other, (1, 1))
    assert prints(*folders, made_with=[one]) == prints(*folders, made_with=[str(other)])


def test_a_segmentation_that_is_replaced_by_one_of_the_same_size_is_another(folders: tuple[Path, Path]):
    before = prints(*folders)
    os.utime(folders[1] / "a" / "a_seg.nii.gz", ns=(1, 1))
    assert {name for name, found in prints(*folders).items() if found != before[name]} == {"a"}


def finished(case: Case, **change: str) -> dict[str, dict[str, str]]:
    return {case["case_id"]: {"status": "ok", MADE_FROM: case["fingerprint"], **change}}


def skipped(cases: list[Case], rows: dict[str, dict[str, str]], png_dir: Path | None = None) -> list[str]:
    return [case["case_id"] for case in skip_finished(cases, rows, png_dir) if "skipped" in case]


def test_finished_cases_are_skipped(folders: tuple[Path, Path], tmp_path: Path):
    cases = find_montage_cases(*folders)
    touched(tmp_path / "a.png")
    assert skipped(cases, finished(cases[0]), tmp_path) == ["a"]
    assert skip_finished(cases, finished(cases[0]), tmp_path)[0] == {**cases[0], "skipped": "finished before"}
    assert skip_finished(cases, finished(cases[0]), tmp_path)[1:] == cases[1:]
    assert "skipped" not in cases[0]


@pytest.mark.parametrize("change", [{"status": "set_aside"}, {"status": ""}, {MADE_FROM: "other"}, {MADE_FROM: ""}])
def test_what_was_set_aside_or_made_from_something_else_is_done_again(
    change: dict[str, str], folders: tuple[Path, Path], tmp_path: Path
):
    cases = find_montage_cases(*folders)
    touched(tmp_path / "a.png")
    assert skipped(cases, finished(cases[0], **change), tmp_path) == []


def test_a_case_whose_picture_is_gone_is_done_again_where_pictures_are_wanted(
    folders: tuple[Path, Path], tmp_path: Path
):
    cases = find_montage_cases(*folders)
    assert skipped(cases, finished(cases[0]), tmp_path) == []
    assert skipped(cases, finished(cases[0]), None) == ["a"]


def test_a_montage_that_was_scored_needs_no_picture(tmp_path: Path):
    touched(tmp_path / "given" / "a.png")
    cases = find_montage_cases(None, None, montages=tmp_path / "given")
    assert skipped(cases, finished(cases[0]), tmp_path / "out") == ["a"]
    touched(tmp_path / "given" / "a.png", "another picture")
    assert skipped(find_montage_cases(None, None, montages=tmp_path / "given"), finished(cases[0]), None) == []


def test_a_finished_case_that_is_now_in_error_is_not_skipped(folders: tuple[Path, Path], tmp_path: Path):
    rows = finished(find_montage_cases(*folders)[0])
    touched(folders[1] / "a.nii.gz")
    touched(tmp_path / "a.png")
    assert skipped(find_montage_cases(*folders), rows, tmp_path) == []


def mistake(folders: tuple[Path, Path], change: str) -> tuple[tuple, dict[str, Any], str]:
    """Arguments that are wrong, and what is to be said of them."""
    images, labels = folders
    empty = images.parent / "empty"
    empty.mkdir()
    return {
        "label set": ((images, labels), {"label_set": "abdomen13"}, "label_set is 'abdomen13', expected one of"),
        "label set of montages": ((None, None), {"montages": images, "label_set": "abdomen13"}, "label_set is"),
        "no images": ((None, labels), {}, "images is not given, expected a folder"),
        "no segmentations": ((images, ""), {}, "segmentations is not given, expected a folder"),
        "absent images": ((images / "absent", labels), {}, f"images is {images}/absent"),
        "empty images": ((empty, labels), {}, str(empty)),
        "empty segmentations": ((images, empty), {}, f"{empty} holds no <case>/<case>_seg.nii.gz and no <case>.nii.gz"),
        "empty montages": ((None, None), {"montages": empty}, f"{empty} holds no <case>.png"),
        "absent montages": ((None, None), {"montages": empty / "no"}, f"{empty}/no is not there, expected a folder"),
    }[change]


@pytest.mark.parametrize(
    "change",
    [
        "label set", "label set of montages", "no images", "no segmentations", "absent images", "empty images",
        "empty segmentations", "empty montages", "absent montages",
    ],
)  # fmt: skip
def test_a_users_mistake_is_a_value_error_and_ends_a_configured_run_with_one_line(
    change: str, folders: tuple[Path, Path]
):
    arguments, options, said = mistake(folders, change)
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        find_montage_cases(*arguments, **options)
    with pytest.raises(SystemExit) as end:
        montage_cases(*arguments, **options)
    assert end.value.code == f"error: {error.value}"
    assert "\n" not in str(end.value.code)
