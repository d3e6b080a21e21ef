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


def test_every_case_gets_its_code_and_the_organ_that_decided(folders: tuple[Path, Path], tmp_path: Path):
    counts = rate_cohort(*folders, tmp_path / "codes.csv")
    codes = pd.read_csv(tmp_path / "codes.csv").set_index("case_id")
    assert codes["code"].to_dict() == {"empty": 2, "right": 0, "roughly": 1}
    assert codes.loc["roughly", "reason"].startswith("spleen 0.8")
    assert counts == Counter({0: 1, 1: 1, 2: 1})
    assert codes["segmentation_sha256"].nunique() == 3


def test_noise_is_the_same_for_a_case_whatever_the_others(folders: tuple[Path, Path], tmp_path: Path):
    rate_cohort(*folders, tmp_path / "all.csv", noise=0.3, seed=4)
    for case in ("empty", "right"):
        (folders[1] / f"{case}.nii.gz").unlink()
    rate_cohort(*folders, tmp_path / "one.csv", noise=0.3, seed=4)
    every, alone = (pd.read_csv(tmp_path / name).set_index("case_id")["code"] for name in ("all.csv", "one.csv"))
    assert alone.to_dict() == {"roughly": every["roughly"]}


def test_nothing_to_rate_is_said(folders: tuple[Path, Path], tmp_path: Path):
    with pytest.raises(ValueError, match="holds no <case>.nii.gz"):
        rate_cohort(folders[0], tmp_path, tmp_path / "codes.csv")
