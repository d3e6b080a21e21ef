"""The command line: results on standard output, one line on standard error for what a user can mend."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from custom_components.__main__ import _mistake, main

AFFINE = np.diag([5.0, 5.0, 5.0, 1.0])
LABELS = np.random.default_rng(0).integers(0, 13, (12, 12, 8)).astype(np.uint8)


def write(path: Path, voxels: np.ndarray = LABELS, affine: np.ndarray = AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return path


def shortened(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-40])
    return path


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
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
def case(tmp_path: Path) -> dict[str, Path]:
    image = np.random.default_rng(0).integers(-200, 200, LABELS.shape).astype(np.int16)
    return {
        "image": write(tmp_path / "ct.nii.gz", image),
        "segmentation": write(tmp_path / "seg.nii.gz"),
        "output": tmp_path / "planes.png",
    }


def test_planes_draws_a_case(call, case: dict[str, Path]):
    code, out, err = call("planes", *case.values())
    assert (code, out.strip()) == (0, str(case["output"]))
    assert "error" not in err
    assert case["output"].stat().st_size > 5000


@pytest.mark.parametrize("key", ["image", "segmentation"])
def test_planes_says_in_one_line_what_is_wrong_with_a_file(call, case: dict[str, Path], key: str):
    path = case[key]
    shortened(path)
    code, out, err = call("planes", *case.values())
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {path}: truncated or damaged: ")
    assert err.count("\n") == 1
    path.write_text("no image")
    assert call("planes", *case.values())[2].startswith(f"error: {path}: no NIfTI image, or truncated: ")
    path.unlink()
    assert call("planes", *case.values()) == (2, "", f"error: {path}: file not found\n")


def test_planes_refuses_another_grid_an_unknown_label_set_and_a_folder_that_is_not_there(call, case: dict[str, Path]):
    code, _, err = call("planes", *case.values(), "--label_set", "abdomen13")
    assert code == 2
    assert err.startswith("error: label_set is 'abdomen13', expected one of")
    code, _, err = call("planes", case["image"], case["segmentation"], "/absent/planes.png")
    assert (code, err) == (2, "error: /absent/planes.png: No such file or directory\n")
    write(case["segmentation"], LABELS[:-1])
    code, _, err = call("planes", *case.values())
    assert code == 2
    assert err.startswith(f"error: {case['segmentation']} has 11 x 12 x 8 voxels, expected 12 x 12 x 8 as ")


@pytest.fixture
def cohort_folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Segmentations and truth of the cases a and b, and where the codes go."""
    for name in "ab":
        write(tmp_path / "seg" / name / f"{name}_seg.nii.gz")
        write(tmp_path / "truth" / f"{name}.nii.gz")
    return tmp_path / "seg", tmp_path / "truth", tmp_path / "codes" / "codes.csv"


def test_rate_prints_the_shares(call, cohort_folders: tuple[Path, Path, Path]):
    code, out, err = call("rate", *cohort_folders)
    assert (code, err) == (0, "")
    assert out == f"2 cases; code 0: 2 (100%), code 1: 0 (0%), code 2: 0 (0%); see {cohort_folders[2]}\n"
    assert len(cohort_folders[2].read_text().splitlines()) == 3


def test_rate_sets_a_bad_case_aside_and_codes_the_others(
    call, cohort_folders: tuple[Path, Path, Path], caplog: pytest.LogCaptureFixture
):
    seg, truth, codes = cohort_folders
    shortened(seg / "a" / "a_seg.nii.gz")
    code, out, _ = call("rate", *cohort_folders)
    assert code == "error: 1 of 2 cases set aside: a"
    assert out.startswith("1 cases; code 0: 1 (100%)")
    assert "a: set aside: a_seg.nii.gz: truncated or damaged" in caplog.text
    assert [line.split(",")[0] for line in codes.read_text().splitlines()] == ["case_id", "b"]
    (truth / "b.nii.gz").write_text("no image")
    code, out, _ = call("rate", *cohort_folders)
    assert code == "error: 2 of 2 cases set aside: a, b"
    assert out.startswith("0 cases; code 0: 0 (0%)")
    assert len(codes.read_text().splitlines()) == 1


def test_rate_says_in_one_line_which_folder_is_wrong(call, cohort_folders: tuple[Path, Path, Path], tmp_path: Path):
    seg, truth, codes = cohort_folders
    assert call("rate", tmp_path / "absent", truth, codes) == (
        2, "", f"error: {tmp_path}/absent holds no <case>/<case>_seg.nii.gz\n",
    )  # fmt: skip
    (tmp_path / "file").touch()
    code, _, err = call("rate", seg, truth, tmp_path / "file" / "codes.csv")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(f"error: {tmp_path}/file")


def test_a_mistake_of_the_program_keeps_its_traceback(call, case: dict[str, Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("custom_components.report.planes._telling_voxel", lambda label: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        call("planes", *case.values())


def test_what_monai_wraps_around_a_users_mistake_is_taken_off():
    error = RuntimeError("applying transform <LoadImaged>")
    error.__cause__ = ValueError("a.nii:\n truncated")
    assert _mistake(error) == "a.nii: truncated"
    assert _mistake(RuntimeError("another")) is None


def test_a_process_ends_with_one_line_and_an_exit_code(cohort_folders: tuple[Path, Path, Path]):
    shortened(cohort_folders[0] / "a" / "a_seg.nii.gz")
    command = [sys.executable, "-m", "custom_components", "rate", *map(str, cohort_folders)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert done.stdout.startswith("1 cases; code 0: 1 (100%)")
    warning, error = done.stderr.splitlines()
    assert warning.startswith("a: set aside: a_seg.nii.gz: truncated or damaged: ")
    assert error == "error: 1 of 2 cases set aside: a"
