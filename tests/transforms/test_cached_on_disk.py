from __future__ import annotations

import errno
import json
import logging
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from custom_components.transforms import cached_on_disk
from custom_components.transforms.cached_on_disk import CachedOnDisk


class Read:
    """Reads numbers from a text file, and notes in another that it did."""

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        path = Path(item["image"])
        with path.with_suffix(".read").open("a") as file:
            file.write("x")
        numbers = [float(word) for word in path.read_text().split()]
        whole = torch.tensor(numbers).expand(1000, -1).contiguous()
        return {
            **item,
            "image": MetaTensor(whole[:1], affine=torch.eye(4)),
            "annotated": np.ones(3, bool),
            "labels": item.get("label_set", "ours"),
        }


def times_read(path: Path) -> int:
    read = path.with_suffix(".read")
    return len(read.read_text()) if read.exists() else 0


def cached(folder: Path, **settings: object) -> CachedOnDisk:
    return CachedOnDisk(Read(), folder / "cache", keys=["image"], also=["label_set"], settings=settings)


@pytest.fixture
def case(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "a.txt"
    path.write_text("1 2 3")
    return {"case_id": "a", "image": str(path), "code": 2}


def test_a_case_is_preprocessed_once(case: dict[str, Any], tmp_path: Path):
    load = cached(tmp_path)
    assert not load.has(case)
    first, second = load(case), cached(tmp_path)(case)
    assert load.has(case)
    assert times_read(Path(case["image"])) == 1
    for item in (first, second):
        assert type(item["image"]) is torch.Tensor
        assert item["image"].tolist() == [[1, 2, 3]]
        assert item["annotated"].tolist() == [True] * 3
        assert (item["case_id"], item["code"], item["labels"]) == ("a", 2, "ours")


def test_what_decides_nothing_of_it_may_change(case: dict[str, Any], tmp_path: Path):
    load = cached(tmp_path)
    load(case)
    assert load({**case, "code": 0})["code"] == 0
    assert times_read(Path(case["image"])) == 1


@pytest.mark.parametrize("change", ["content", "time", "label_set", "settings", "version"])
def test_what_decides_it_makes_it_anew(
    change: str, case: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = Path(case["image"])
    cached(tmp_path, pixdim=2)(case)
    if change == "content":
        path.write_text("1 2 3 4")
    elif change == "time":
        os.utime(path, ns=(1, 1))
    elif change == "label_set":
        case["label_set"] = "btcv"
    elif change == "version":
        monkeypatch.setattr(cached_on_disk, "__version__", "9.9")
    load = cached(tmp_path, pixdim=3 if change == "settings" else 2)
    assert not load.has(case)
    assert load(case)["image"].shape[1] == (4 if change == "content" else 3)
    assert times_read(path) == 2


def test_another_file_of_the_same_name_is_another_case(case: dict[str, Any], tmp_path: Path):
    other = tmp_path / "other" / "a.txt"
    other.parent.mkdir()
    other.write_text("7 8 9")
    os.utime(case["image"], ns=(1, 1))
    os.utime(other, ns=(1, 1))
    load = cached(tmp_path)
    load(case)
    assert load({**case, "image": str(other)})["image"].tolist() == [[7, 8, 9]]


@pytest.mark.parametrize("damage", ["empty", "half", "noise"])
def test_a_damaged_result_is_made_again(
    damage: str, case: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    load = cached(tmp_path)
    load(case)
    path = load.path_of(case)
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "half": whole[: len(whole) // 2], "noise": os.urandom(len(whole))}[damage])
    with caplog.at_level(logging.WARNING):
        assert load(case)["image"].tolist() == [[1, 2, 3]]
    assert "cannot be read, and is made again" in caplog.text
    assert torch.load(path, weights_only=True)["image"].tolist() == [[1, 2, 3]]


def test_what_fails_is_not_kept(case: dict[str, Any], tmp_path: Path):
    Path(case["image"]).write_text("no number")
    load = cached(tmp_path)
    with pytest.raises(ValueError, match="no"):
        load(case)
    assert not load.has(case)
    Path(case["image"]).unlink()
    with pytest.raises(FileNotFoundError):
        load(case)


def test_a_part_of_a_tensor_is_kept_without_the_whole(case: dict[str, Any], tmp_path: Path):
    load = cached(tmp_path)
    load(case)
    assert load.path_of(case).stat().st_size < 4000


def test_a_full_disk_only_costs_time(
    case: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cached_on_disk.torch, "save", full)
    load = cached(tmp_path)
    assert load(case)["image"].tolist() == [[1, 2, 3]]
    assert "a preprocessed case cannot be kept: No space left on device" in caplog.text
    assert [path.name for path in load.folder.iterdir()] == ["settings.json"]


def test_the_folder_tells_its_settings(case: dict[str, Any], tmp_path: Path):
    load = cached(tmp_path, pixdim=(2.0, 2.0, 6.0))
    load(case)
    assert json.loads((load.folder / "settings.json").read_text())["pixdim"] == [2.0, 2.0, 6.0]


def load_many(folder: Path, cases: list[dict[str, Any]]) -> list[float]:
    load = cached(folder)
    return [float(load(case)["image"].sum()) for case in cases]


def test_several_processes_share_a_folder(tmp_path: Path):
    cases = []
    for number in range(40):
        path = tmp_path / f"{number}.txt"
        path.write_text(f"{number} 1")
        cases.append({"image": str(path)})
    with ProcessPoolExecutor(3, get_context("spawn")) as pool:
        sums = list(pool.map(load_many, [tmp_path] * 3, [cases] * 3))
    assert sums == [[number + 1.0 for number in range(40)]] * 3
    kept = [path for path in cached(tmp_path).folder.iterdir() if path.suffix == ".pt"]
    assert len(kept) == 40
    assert all(set(torch.load(path, weights_only=True)) == {"image", "annotated", "labels"} for path in kept)
    assert not [path for path in cached(tmp_path).folder.iterdir() if "partial" in path.name]
