from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import RATED_CODES, RATED_GRID, RatedCohort

from custom_components.data.case_files import image_files, volume_files
from custom_components.data.montage_png import read_montage_png
from custom_components.report.montage_pairs import PairRun, choose_pairs, draw_pairs, remove_pairs
from custom_components.report.pair_png import GAP, Pair
from custom_components.transforms.montage import montage

NAN = float("nan")


def cases(codes: dict[str, tuple[int, int]], scores: dict[str, tuple[float, float]] | None = None) -> pd.DataFrame:
    rows = [(*pair, *(scores or {}).get(case, (NAN, NAN))) for case, pair in codes.items()]
    return pd.DataFrame(rows, columns=["before", "after", "score_before", "score_after"], index=list(codes))


def test_the_largest_improvements_and_every_new_failure_are_chosen():
    codes = {"a": (1, 0), "b": (2, 0), "c": (2, 1), "d": (0, 2), "e": (1, 2), "f": (1, 1), "g": (2, 2), "h": (0, 1)}
    chosen = choose_pairs(cases(codes), 2)
    assert [(pair.case_id, pair.kind) for pair in chosen] == [
        ("b", "improved"), ("c", "improved"), ("d", "broken"), ("e", "broken"),
    ]  # fmt: skip
    assert [pair.case_id for pair in choose_pairs(cases(codes), 9)] == ["b", "c", "a", "d", "e"]
    assert [pair.case_id for pair in choose_pairs(cases(codes), 0)] == ["d", "e"]


def test_among_equal_changes_the_larger_fall_of_the_score_comes_first():
    codes = dict.fromkeys("abc", (2, 1))
    chosen = choose_pairs(cases(codes, {"b": (2.0, 1.5), "c": (2.0, 0.5)}), 3)
    assert [pair.case_id for pair in chosen] == ["c", "b", "a"]


def drawn(rated: RatedCohort, output: Path, improvements: int = 6, **options: Any) -> PairRun:
    folders = volume_files(rated.before), volume_files(rated.after)
    pairs = choose_pairs(cases(RATED_CODES, {"a": (1.9, 0.1)}), improvements)
    return draw_pairs(pairs, image_files(rated.images), folders, output, **{**RATED_GRID, **options})


def whole(rated: RatedCohort, folder: Path, case: str) -> torch.Tensor:
    image = np.asarray(nib.load(rated.images / f"{case}.nii.gz").dataobj, np.float32)
    label = np.asarray(nib.load(folder / case / f"{case}_seg.nii.gz").dataobj, np.uint8)
    return montage(torch.from_numpy((image + 175) / 450).clip(0, 1)[None, None], torch.from_numpy(label)[None, None])[0]


def test_a_pair_shows_before_on_the_left_and_after_on_the_right(rated: RatedCohort, tmp_path: Path):
    run = drawn(rated, tmp_path / "pairs", names=("Baseline", "QA-supervised"))
    assert [(pair.case_id, pair.kind) for pair in run.drawn] == [
        ("a", "improved"), ("d", "improved"), ("e", "improved"), ("b", "broken"),
    ]  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "pairs").iterdir()) == [
        "broken_b.png", "improved_a.png", "improved_d.png", "improved_e.png",
    ]  # fmt: skip
    for pair in run.drawn:
        picture = read_montage_png(tmp_path / "pairs" / pair.file)
        width = (picture.shape[2] - GAP) // 2
        assert picture.shape == (3, 3 * 16, 2 * 3 * 16 + GAP)
        left, right = picture[..., :width], picture[..., -width:]
        assert (left - whole(rated, rated.before, pair.case_id)).abs().max() < 1 / 255
        assert (right - whole(rated, rated.after, pair.case_id)).abs().max() < 1 / 255
        assert not torch.equal(left, right)


def test_a_case_that_cannot_be_drawn_is_set_aside_and_the_others_are_drawn(
    rated: RatedCohort, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    path = rated.after / "a" / "a_seg.nii.gz"
    path.write_bytes(path.read_bytes()[:-30])
    (rated.images / "b.nii.gz").unlink()
    (rated.before / "d" / "d_seg.nii.gz").unlink()
    with caplog.at_level(logging.WARNING):
        run = drawn(rated, tmp_path / "pairs")
    assert [pair.case_id for pair in run.drawn] == ["e"]
    assert run.set_aside["a"].startswith("after: segmentation a_seg.nii.gz: truncated or damaged")
    assert run.set_aside["b"] == "before: no image"
    assert run.set_aside["d"] == "before: no segmentation"
    assert str(tmp_path) not in str(run.set_aside)
    assert "d: no pair of montages: before: no segmentation" in caplog.text


def test_pictures_of_an_earlier_run_are_removed_and_nothing_else(tmp_path: Path):
    folder = tmp_path / "pairs" / "ranked"
    folder.mkdir(parents=True)
    for name in ("improved_a.png", "broken_b.png", "notes.png", "improved_c.txt"):
        (folder / name).touch()
    remove_pairs(tmp_path / "pairs")
    assert sorted(path.name for path in folder.iterdir()) == ["improved_c.txt", "notes.png"]
    remove_pairs(tmp_path / "absent")


def test_the_file_of_a_pair_says_what_it_is():
    assert Pair("case.1", "broken", 0, 2, NAN, NAN).file == "broken_case.1.png"
