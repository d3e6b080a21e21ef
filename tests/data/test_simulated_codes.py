import csv
import shutil
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from custom_components.anatomy import INDEX
from custom_components.data.simulated_codes import rate_cohort


def write(path: Path, label: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(label.astype(np.uint8), np.diag([5.0, 5, 5, 1])), path)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    truth = np.zeros((24, 24, 16))
    for organ, place in {"liver": 0, "right_kidney": 6, "left_kidney": 12, "spleen": 18}.items():
        truth[place : place + 5, 4:20, 2:14] = INDEX[organ]
    shifted = truth.copy()
    shifted[18:] = np.roll(truth[18:], 3, axis=1)
    preds = {"right": truth, "roughly": shifted, "empty": np.zeros_like(truth)}
    for name, pred in preds.items():
        write(tmp_path / "truth" / f"{name}.nii.gz", truth)
        write(tmp_path / "seg" / name / f"{name}_seg.nii.gz", pred)
    return tmp_path / "seg", tmp_path / "truth"


def test_every_case_gets_its_code_and_the_organs_that_decided(folders: tuple[Path, Path], tmp_path: Path):
    counts, set_aside = rate_cohort(*folders, tmp_path / "codes.csv")
    assert not set_aside
    codes = pd.read_csv(tmp_path / "codes.csv").set_index("case_id")
    assert codes["code"].to_dict() == {"empty": 2, "right": 0, "roughly": 1}
    assert codes.loc["roughly", "reason"].startswith("spleen 0.8")
    assert codes.loc["empty", "reason"] == "liver 0.00, right_kidney 0.00, left_kidney 0.00, spleen 0.00"
    assert len(codes.loc["right", "reason"].split()) == 2
    assert counts == Counter({0: 1, 1: 1, 2: 1})
    assert codes["segmentation_sha256"].nunique() == 3


def test_noise_is_the_same_for_a_case_whatever_the_others(folders: tuple[Path, Path], tmp_path: Path):
    rate_cohort(*folders, tmp_path / "all.csv", noise=0.3, seed=4)
    for case in ("empty", "right"):
        (folders[1] / f"{case}.nii.gz").unlink()
    rate_cohort(*folders, tmp_path / "one.csv", noise=0.3, seed=4)
    every, alone = (pd.read_csv(tmp_path / name).set_index("case_id")["code"] for name in ("all.csv", "one.csv"))
    assert alone.to_dict() == {"roughly": every["roughly"]}


def test_a_case_that_cannot_be_rated_is_set_aside_and_the_others_are_coded(
    folders: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    seg, truth = folders
    good = nib.load(truth / "right.nii.gz")
    labels = np.asarray(good.dataobj)
    moved = good.affine.copy()
    moved[0, 3] = 5
    for name in ("cut", "moved", "short", "foreign"):
        write(truth / f"{name}.nii.gz", labels)
        write(seg / name / f"{name}_seg.nii.gz", labels if name != "foreign" else labels * 20)
    cut = seg / "cut" / "cut_seg.nii.gz"
    cut.write_bytes(cut.read_bytes()[:200])
    nib.save(nib.Nifti1Image(labels, moved), seg / "moved" / "moved_seg.nii.gz")
    write(seg / "short" / "short_seg.nii.gz", labels[..., :-1])
    counts, set_aside = rate_cohort(seg, truth, tmp_path / "codes.csv")
    assert counts == Counter({0: 1, 1: 1, 2: 1})
    assert pd.read_csv(tmp_path / "codes.csv")["case_id"].tolist() == ["empty", "right", "roughly"]
    assert set_aside.keys() == {"cut", "moved", "short", "foreign"}
    assert set_aside["cut"].startswith("cut_seg.nii.gz: truncated or damaged")
    assert set_aside["moved"].startswith("moved_seg.nii.gz lies up to 5.00 mm off the grid of moved.nii.gz")
    assert set_aside["short"] == "short_seg.nii.gz has 24 x 24 x 15 voxels, expected 24 x 24 x 16 as short.nii.gz"
    assert set_aside["foreign"].startswith("foreign_seg.nii.gz: label holds 120, expected 0 to 12")
    assert "cut: set aside: cut_seg.nii.gz: truncated" in caplog.text
    assert str(tmp_path) not in caplog.text


def test_a_segmentation_may_be_stored_along_other_axes_than_the_truth(folders: tuple[Path, Path], tmp_path: Path):
    path = folders[0] / "roughly" / "roughly_seg.nii.gz"
    image = nib.load(path)
    change = nib.orientations.ornt_transform(
        nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(("P", "R", "I"))
    )
    rate_cohort(*folders, tmp_path / "before.csv")
    turned = image.as_reoriented(change)
    nib.save(nib.Nifti1Image(np.asarray(turned.dataobj), turned.affine), path)
    rate_cohort(*folders, tmp_path / "after.csv")
    before, after = (
        pd.read_csv(tmp_path / f"{name}.csv").drop(columns="segmentation_sha256") for name in ("before", "after")
    )
    pd.testing.assert_frame_equal(before, after)


def test_nothing_to_rate_is_said(folders: tuple[Path, Path], tmp_path: Path):
    with pytest.raises(ValueError, match="holds no <case>/<case>_seg.nii.gz and no <case>.nii.gz"):
        rate_cohort(folders[0], tmp_path, tmp_path / "codes.csv")


def test_segmentations_can_be_rated_against_other_segmentations_by_another_name(
    folders: tuple[Path, Path], tmp_path: Path
):
    seg, _ = folders
    counts, set_aside = rate_cohort(seg, seg, tmp_path / "codes.csv", rater="other")
    assert set_aside == {}
    assert set(counts) == {0}
    with (tmp_path / "codes.csv").open(newline="") as file:
        assert {row["rater"] for row in csv.DictReader(file)} == {"other"}


def test_a_case_with_two_files_is_set_aside(folders: tuple[Path, Path], tmp_path: Path):
    seg, truth = folders
    path = sorted(truth.glob("*.nii.gz"))[0]
    case_id = path.name.removesuffix(".nii.gz")
    shutil.copy(path, truth / f"{case_id}.nii")
    _, set_aside = rate_cohort(seg, truth, tmp_path / "codes.csv")
    assert "2 files of the case" in set_aside[case_id]
