from __future__ import annotations

import csv
import logging
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from custom_components.anatomy import label_map
from custom_components.data.montage_png import read_montage_png
from custom_components.report.montages import COLUMNS, MontageRun, write_montages
from custom_components.transforms.montage import montage

GRID: dict[str, Any] = {"pixdim": (5.25, 5.25, 12.0), "roi_size": (64, 64, 32)}
"""That of the phantoms: nothing is resampled."""


def drawn(cohort: Path, output: Path, **options: Any) -> MontageRun:
    return write_montages(cohort / "imagesTs", cohort / "truth", output, **{"workers": 0, **GRID, **options})


def rows(output: Path) -> dict[str, dict[str, str]]:
    with (output / "montages.csv").open(newline="") as file:
        return {row["case_id"]: row for row in csv.DictReader(file)}


def pictures(output: Path) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in sorted(output.glob("*.png"))}


@pytest.fixture(scope="module")
def done(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the montages of the cohort's three cases."""
    output = tmp_path_factory.mktemp("montages")
    assert drawn(cohort, output) == ({"ok": 3}, output / "montages.csv")
    return output


@pytest.fixture
def one(cohort: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Folders with the image and the segmentation of a single case, `a`."""
    path = sorted((cohort / "imagesTs").glob("*.nii.gz"))[0]
    for folder, source in (("images", path), ("labels", cohort / "truth" / path.name)):
        (tmp_path / folder).mkdir()
        shutil.copy(source, tmp_path / folder / "a.nii.gz")
    return tmp_path / "images", tmp_path / "labels"


def test_each_case_has_its_picture_and_its_row(cohort: Path, done: Path):
    names = sorted(path.name.removesuffix(".nii.gz") for path in (cohort / "imagesTs").glob("*.nii.gz"))
    assert list(pictures(done)) == names
    assert {path.suffix for path in done.iterdir()} == {".png", ".csv"}
    table = rows(done)
    assert list(table) == names
    for name, row in table.items():
        assert list(row) == COLUMNS
        assert (row["montage"], row["status"], row["reason"]) == (f"{name}.png", "ok", "")
        assert float(row["seconds"]) > 0
        assert len(row["made_from"]) == 16


def test_the_picture_is_the_montage_of_image_and_segmentation(cohort: Path, done: Path):
    for path in (cohort / "imagesTs").glob("*.nii.gz"):
        image = np.asarray(nib.load(path).dataobj, np.float32)
        label = np.asarray(nib.load(cohort / "truth" / path.name).dataobj, np.uint8)
        windowed = torch.from_numpy(((image + 175) / 450).clip(0, 1))
        expected = montage(windowed[None, None], torch.from_numpy(label)[None, None])[0]
        found = read_montage_png(done / f"{path.name.removesuffix('.nii.gz')}.png")
        assert found.shape == (3, 384, 384)
        assert (found - expected).abs().max() < 1 / 255


def test_two_processes_draw_the_same_pictures(cohort: Path, done: Path, tmp_path: Path):
    assert drawn(cohort, tmp_path, workers=2).counts == {"ok": 3}
    assert pictures(tmp_path) == pictures(done)
    unlike = {"seconds": ""}
    assert [row | unlike for row in rows(tmp_path).values()] == [row | unlike for row in rows(done).values()]


def test_finished_cases_are_skipped_unless_they_shall_be_overwritten(one: tuple[Path, Path], tmp_path: Path):
    output = tmp_path / "out"
    assert write_montages(*one, output, workers=0, **GRID).counts == {"ok": 1}
    before, written = rows(output), (output / "a.png").stat().st_mtime_ns
    assert write_montages(*one, output, workers=0, **GRID).counts == {"skipped": 1}
    assert rows(output) == before
    assert (output / "a.png").stat().st_mtime_ns == written
    assert write_montages(*one, output, workers=0, overwrite=True, **GRID).counts == {"ok": 1}
    assert (output / "a.png").stat().st_mtime_ns > written


def test_the_same_numbers_in_another_spelling_are_the_same_settings(one: tuple[Path, Path], tmp_path: Path):
    write_montages(*one, tmp_path / "out", workers=0, pixdim=(6, 6, 12), roi_size=(32, 32, 16), hu_window=(-175, 275))
    spelled: dict[str, Any] = {"pixdim": [6.0, 6.0, 12.0], "roi_size": [32, 32, 16], "hu_window": [-175.0, 275.0]}
    assert write_montages(*one, tmp_path / "out", workers=0, **spelled).counts == {"skipped": 1}


@pytest.mark.parametrize("change", ["segmentation", "settings", "label set", "picture"])
def test_what_was_made_from_something_else_or_is_gone_is_drawn_again(
    change: str, one: tuple[Path, Path], tmp_path: Path
):
    output, options = tmp_path / "out", dict(GRID)
    write_montages(*one, output, workers=0, **GRID)
    before = pictures(output)["a"]
    if change == "segmentation":
        label = nib.load(one[1] / "a.nii.gz")
        nib.save(nib.Nifti1Image(np.zeros(label.shape, np.uint8), label.affine), one[1] / "a.nii.gz")
    elif change == "settings":
        options["hu_window"] = (-100.0, 100.0)
    elif change == "label set":
        options["label_set"] = "amos"
    else:
        (output / "a.png").unlink()
    assert write_montages(*one, output, workers=0, **options).counts == {"ok": 1}
    assert (pictures(output)["a"] == before) == (change == "picture")


@pytest.mark.parametrize("label_set", ["btcv", "totalsegmentator"])
def test_another_numbering_gives_the_same_picture(label_set: str, one: tuple[Path, Path], done: Path, tmp_path: Path):
    back = {ours: number for number, ours in label_map(label_set).items()}
    label = nib.load(one[1] / "a.nii.gz")
    voxels = np.asarray(label.dataobj).astype(np.uint8)
    renumbered = np.select([voxels == ours for ours in back], list(back.values()), 0).astype(np.uint8)
    assert label_set == "btcv" or not np.array_equal(renumbered, voxels)
    nib.save(nib.Nifti1Image(renumbered, label.affine), one[1] / "a.nii.gz")
    write_montages(*one, tmp_path / "out", label_set=label_set, workers=0, **GRID)
    first = sorted(done.glob("*.png"))[0]
    assert torch.equal(read_montage_png(tmp_path / "out" / "a.png"), read_montage_png(first))


def test_a_bad_case_is_set_aside_with_its_reason_and_the_others_are_drawn(
    one: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    images, labels = one
    for name in ("cut", "lonely", "moved"):
        shutil.copy(images / "a.nii.gz", images / f"{name}.nii.gz")
    (labels / "cut.nii.gz").write_bytes((labels / "a.nii.gz").read_bytes()[:900])
    label = nib.load(labels / "a.nii.gz")
    nib.save(nib.Nifti1Image(np.asarray(label.dataobj), label.affine + 9 * np.eye(4, k=3)), labels / "moved.nii.gz")
    with caplog.at_level(logging.WARNING):
        counts, table = write_montages(images, labels, tmp_path / "out", workers=0, **GRID)
    assert counts == {"ok": 1, "set_aside": 3}
    assert list(pictures(table.parent)) == ["a"]
    found = rows(table.parent)
    assert {name: row["status"] for name, row in found.items()} == {
        "a": "ok", "cut": "set_aside", "lonely": "set_aside", "moved": "set_aside",
    }  # fmt: skip
    assert found["cut"]["reason"].startswith("segmentation cut.nii.gz: truncated or damaged")
    assert found["lonely"]["reason"] == "no segmentation"
    assert found["moved"]["reason"].startswith("case moved: segmentation lies up to 9.00 mm off the grid of image")
    assert {row["montage"] for row in found.values()} == {"a.png", ""}
    assert "lonely: set aside: no segmentation" in caplog.text
    assert str(tmp_path) not in table.read_text()


def test_a_mistake_ends_the_run_before_anything_is_written(one: tuple[Path, Path], tmp_path: Path):
    for words, options, said in (
        ((one[0], tmp_path / "absent"), {}, "absent is not there, expected a folder"),
        (one, {"label_set": "abdomen13"}, "label_set is 'abdomen13'"),
        (one, {"pixdim": 5}, r"pixdim is 5, expected 3 positive numbers \(mm\)"),
        (one, {"roi_size": (64, 64)}, r"roi_size is \(64, 64\), expected 3 whole numbers of at least 1"),
        (one, {"hu_window": ("a", "b")}, "hu_window is .*, expected 2 numbers"),
    ):
        with pytest.raises(ValueError, match=said):
            write_montages(*words, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
