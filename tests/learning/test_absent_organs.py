"""Bad segmentations without the organ that people named."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from custom_components.anatomy import INDEX

SPLEEN, LEFT, LIVER = (INDEX[name] for name in ("spleen", "left_kidney", "liver"))
AFFINE = np.diag([-2.0, -2.0, 6.0, 1.0])


def segmentation(path: Path, *, spleen: int, left: int) -> None:
    labels = np.zeros((4, 10, 10), np.uint8)
    labels[0].flat[:spleen], labels[1].flat[:left], labels[2] = SPLEEN, LEFT, LIVER
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(labels, AFFINE), path)


@pytest.fixture
def coded(tmp_path: Path) -> Path:
    rows = (
        ("good", 0, "", 80, 60),
        ("good2", 0, "", 60, 40),
        ("small", 2, "Spleen where there is none, left kidney too small", 30, 20),
        ("second", 2, "left kidney 0.10; spleen 0.20", 30, 20),
        ("large", 2, "spleen 0.40", 60, 50),
        ("none", 2, "spleen missing", 0, 50),
        ("liver", 2, "liver 0.4, spleen 0.6", 10, 50),
        ("unnamed", 2, "blurred", 10, 10),
        ("fair", 1, "spleen 0.8", 10, 50),
    )
    for case_id, _, _, spleen, left in rows:
        segmentation(tmp_path / "first" / case_id / f"{case_id}_seg.nii.gz", spleen=spleen, left=left)
    table = pd.DataFrame([row[:3] for row in rows], columns=["case_id", "code", "reason"])
    table.to_csv(tmp_path / "codes.csv", index=False)
    return tmp_path


def left_out(call, coded: Path, **options: object) -> tuple[dict[str, np.ndarray], str]:
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    code, out, err = call(
        "leave_out_organs", str(coded / "out"), "--segmentations", str(coded / "first"), "--codes",
        str(coded / "codes.csv"), *words,
    )  # fmt: skip
    paths = sorted((coded / "out").glob("*/*_seg.nii.gz"))
    assert all((nib.load(path).affine == AFFINE).all() for path in paths)
    return {path.parent.name: np.asarray(nib.load(path).dataobj) for path in paths}, f"{code} {out}{err}"


def test_small_organs_that_are_named_first_are_left_out_of_what_is_bad_and_all_else_stays(call, coded: Path):
    found, said = left_out(call, coded)
    assert sorted(found) == ["fair", "second", "small"]
    assert "3 of 7 bad segmentations written without an organ (1 left_kidney, 2 spleen)" in said
    for case_id, gone in (("small", SPLEEN), ("second", LEFT), ("fair", SPLEEN)):
        before = np.asarray(nib.load(coded / "first" / case_id / f"{case_id}_seg.nii.gz").dataobj)
        assert found[case_id].dtype == np.uint8
        assert np.array_equal(found[case_id], np.where(before == gone, 0, before))


def test_the_limit_is_a_share_of_the_median_of_successes(call, coded: Path):
    assert sorted(left_out(call, coded, largest=1.0)[0]) == ["fair", "large", "second", "small"]


def test_without_successes_there_is_no_limit(call, coded: Path):
    table = pd.read_csv(coded / "codes.csv")
    table[table["code"] > 0].to_csv(coded / "codes.csv", index=False)
    assert sorted(left_out(call, coded)[0]) == ["fair", "large", "second", "small"]


def test_what_is_there_stays(call, coded: Path):
    left_out(call, coded)
    path = coded / "out" / "small" / "small_seg.nii.gz"
    segmentation(path, spleen=1, left=1)
    assert (left_out(call, coded)[0]["small"] == SPLEEN).sum() == 1


def test_what_passes_without_an_organ_is_a_label_of_its_absence(call, coded: Path):
    left_out(call, coded)
    again = pd.DataFrame(
        [("small", 1, "left kidney"), ("second", 2, "left kidney")], columns=["case_id", "code", "reason"]
    )
    again.to_csv(coded / "again.csv", index=False)
    data = coded / "dataset.json"
    data.write_text('{"unlabeled": ["small.nii.gz", "second.nii.gz"]}')
    folders, tables = (f"{coded / one},{coded / two}" for one, two in (("first", "out"), ("codes.csv", "again.csv")))
    code, _, err = call(
        "pseudo_labels", str(coded / "pseudo.json"), "--datalist", str(data), "--by_organ", "true",
        "--segmentations", folders, "--codes", tables,
    )  # fmt: skip
    assert code == 0, err
    entries = {one["case_id"]: one for one in json.loads((coded / "pseudo.json").read_text())["pseudo"]}
    small = entries["small"]
    assert coded / small["label"] == coded / "out" / "small" / "small_seg.nii.gz"
    assert {"spleen", "liver"} <= set(small["label_set"])
    assert "left_kidney" not in small["label_set"]
    assert "left_kidney" not in entries["second"]["label_set"]


def test_a_folder_is_there_also_if_nothing_is_left_out(call, coded: Path):
    assert "0 of 7 bad segmentations written without an organ; see" in left_out(call, coded, largest=0)[1]
    assert not list((coded / "out").iterdir())


def test_a_wrong_limit_is_one_line(call, coded: Path):
    assert "largest is -1, expected" in left_out(call, coded, largest=-1)[1]
