"""Cohorts to be reviewed, small ready montages or CTs with segmentations, and the fixtures that open them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from custom_components.review.cohort import Cohort, Source
from custom_components.review.helper import Helper
from custom_components.review.review import Review, Rules
from custom_components.review.store import Store
from custom_components.review.turns import Plan

OpenReview = Callable[..., Review]
"""What the fixture `open_review` gives."""


def write_montages(folder: Path, count: int, first: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        Image.new("RGB", (32, 32), (number % 256, number // 256, 7)).save(folder / f"case_{number:04d}.png")


def write_volumes(folder: Path, cases: tuple[str, ...] = ("a", "b"), *, label: int = 6) -> None:
    """Small CTs that have another grey in every slice, and a box of an organ on the patient's left, in front."""
    affine = np.diag([-4.0, -4.0, 5.0, 1.0])  # stored as LPS
    for number, case_id in enumerate(cases):
        image = np.full((20, 16, 10), -1000, np.int16)
        image[2:-2, 2:-2] = np.arange(10, dtype=np.int16) * 20 + number
        labels = np.zeros((20, 16, 10), np.uint8)
        labels[12:16, 4:8, 3:6] = label
        for part, volume in (("images", image), ("segmentations", labels)):
            (folder / part).mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(volume, affine), folder / part / f"{case_id}.nii.gz")


@pytest.fixture(scope="session")
def helper() -> Iterator[Helper]:
    with Helper() as one:
        yield one


@pytest.fixture
def open_review(tmp_path: Path, helper: Helper) -> Iterator[OpenReview]:
    """Open a review of ready montages, or of CTs, in `<tmp_path>/cohort`; again with the same store."""
    stores = []

    def start(*, volumes: bool = False, source: Source | None = None, rules: Rules | None = None, **plan) -> Review:
        folder = tmp_path / "cohort"
        if source is None and volumes:
            source = Source(images=str(folder / "images"), segmentations=str(folder / "segmentations"))
        sources = [source or Source(montages=str(folder))]
        return start_with(sources, rules, **plan)

    def start_with(sources: list[Source], rules: Rules | None = None, **plan) -> Review:
        cohort = Cohort(sources, tmp_path / "pictures", (4.0, 4.0, 5.0), (24, 24, 12))
        store = Store(tmp_path / "review.sqlite")
        stores.append(store)
        helper.run("scan:scan", cohort, store.path, 0)
        review = Review(store, cohort, replace(Plan(repeats=0), **plan), rules or Rules(), helper)
        review.settle()
        return review

    start.of = start_with  # type: ignore[attr-defined]
    yield start
    for store in stores:
        store.close()
