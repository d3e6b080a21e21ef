"""Codes of a whole cohort of phantoms, by the simulated rater."""

from __future__ import annotations

import csv
import hashlib
import logging
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from custom_components.case_ids import CASE_ID
from custom_components.data.case_files import sha256_of, volume_files
from custom_components.data.label_files import read_label
from custom_components.data.rater import LIMITS, judge, rate
from custom_components.files import complete_file
from custom_components.transforms.same_grid import check_same_grid

COLUMNS = [CASE_ID, "code", "rater", "reason", "segmentation_sha256"]
RATER = "simulated"

logger = logging.getLogger(__name__)


class CohortCodes(NamedTuple):
    """How many cases have each code, and why cases could not be rated, by case id."""

    counts: Counter[int]
    set_aside: dict[str, str]


def rate_cohort(
    segmentations: str | Path,
    truth: str | Path,
    output: str | Path,
    *,
    noise: float = 0.0,
    seed: int = 0,
    rater: str = RATER,
    only: Collection[str] | None = None,
) -> CohortCodes:
    """Rate the segmentation of every case whose truth is known and write the codes.

    A pair that cannot be read, holds other numbers than 0 to 12 or lies on two grids, and a case with several files, is
    set aside with a warning, and has no row.

    Args:
        segmentations: folder of `<case>/<case>_seg.nii.gz`, as inference leaves it, or of `<case>.nii.gz`.
        truth: folder of `<case>.nii.gz`, as the phantom cohort has it, or of segmentations to compare with.
        output: CSV to write: `case_id, code, rater, reason, segmentation_sha256`; the reason names the organs that are
            no success, the worst first, each with its quality, and of a success the worst organ.
        noise: standard deviation of the rater's error, see `rate`.
        seed: of that error; each case has its own, whichever others there are.
        rater: name in the table.
        only: the cases to rate; all if not given.

    Returns:
        The counts of the codes, and the cases set aside with their reasons.

    Raises:
        ValueError: a folder holds no such files, or no case is in both.
    """
    paths, truths = volume_files(segmentations), volume_files(truth)
    if only is not None:
        paths, truths = ({name: one[name] for name in one if name in only} for one in (paths, truths))
        if missing := sorted(set(only) - paths.keys()):
            raise ValueError(f"{segmentations}: case {missing[0]!r} is to be rated and has no segmentation")
    cases = sorted(paths.keys() & truths.keys())
    if not cases:
        raise ValueError(f"no case of {segmentations} has a truth in {truth}: {next(iter(paths))} is not there")
    for case_id in sorted(paths.keys() ^ truths.keys()):
        logger.warning("%s: %s, not rated", case_id, "no truth" if case_id in paths else "no segmentation")

    rows, set_aside = [], {}
    for case_id in cases:
        try:
            rows.append(_row(case_id, _only(paths[case_id]), _only(truths[case_id]), noise, seed) | {"rater": rater})
        except ValueError as error:
            set_aside[case_id] = str(error)
            logger.warning("%s: set aside: %s", case_id, error)
    _write(Path(output), rows)
    return CohortCodes(Counter(int(row["code"]) for row in rows), set_aside)


def write_no_codes(output: str | Path) -> None:
    """Write a table of codes without a row."""
    _write(Path(output), [])


def _only(paths: Sequence[Path]) -> Path:
    if len(paths) > 1:
        raise ValueError(f"{len(paths)} files of the case: {paths[0].name} and {paths[1].name}, expected one")
    return paths[0]


def _write(output: Path, rows: list[dict[str, str | int]]) -> None:
    with complete_file(output) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def _row(case_id: str, segmentation: Path, truth: Path, noise: float, seed: int) -> dict[str, str | int]:
    pred, label = read_label(segmentation), read_label(truth)
    check_same_grid(segmentation.name, pred.shape[1:], pred.affine, truth.name, label.shape[1:], label.affine)
    spacing = [float(size) for size in label.pixdim]
    arrays = pred[0].numpy(), label[0].numpy()
    rng = np.random.default_rng([seed, *hashlib.sha256(case_id.encode()).digest()])
    code = rate(*arrays, spacing=spacing, noise=noise, rng=rng)
    organs = sorted(judge(*arrays, spacing=spacing), key=lambda organ: organ.quality)
    named = [organ for organ in organs if code and organ.quality < LIMITS.good] or organs[:1]
    return {
        CASE_ID: case_id,
        "code": code,
        "reason": ", ".join(f"{organ.organ} {organ.quality:.2f}" for organ in named),
        "segmentation_sha256": sha256_of(segmentation),
    }
