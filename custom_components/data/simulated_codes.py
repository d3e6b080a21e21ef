"""Codes of a whole cohort of phantoms, by the simulated rater."""

from __future__ import annotations

import csv
import hashlib
import logging
import os
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np

from custom_components.data.rater import judge, rate

COLUMNS = ["case_id", "code", "rater", "reason", "segmentation_sha256"]
RATER = "simulated"

logger = logging.getLogger(__name__)


def rate_cohort(
    segmentations: str | Path, truth: str | Path, output: str | Path, *, noise: float = 0.0, seed: int = 0
) -> Counter[int]:
    """Rate the segmentation of every case whose truth is known and write the codes.

    Args:
        segmentations: folder of `<case>/<case>_seg.nii.gz`, as inference leaves it.
        truth: folder of `<case>.nii.gz`, as the phantom cohort has it.
        output: CSV to write: `case_id, code, rater, reason, segmentation_sha256`; the reason names the worst organ
            and its quality.
        noise: standard deviation of the rater's error, see `rate`.
        seed: of that error; each case has its own, whichever others there are.

    Returns:
        How many cases have each code.

    Raises:
        ValueError: a folder holds no such files, no case is in both, or a pair has different grids.
    """
    paths = {path.parent.name: path for path in sorted(Path(segmentations).glob("*/*_seg.nii.gz"))}
    truths = {path.name.removesuffix(".nii.gz"): path for path in sorted(Path(truth).glob("*.nii.gz"))}
    for folder, found, pattern in (
        (segmentations, paths, "<case>/<case>_seg.nii.gz"),
        (truth, truths, "<case>.nii.gz"),
    ):
        if not found:
            raise ValueError(f"{folder} holds no {pattern}")
    cases = sorted(paths.keys() & truths.keys())
    if not cases:
        raise ValueError(f"no case of {segmentations} has a truth in {truth}: {next(iter(paths))} is not there")
    for case_id in sorted(paths.keys() ^ truths.keys()):
        logger.warning("%s: %s, not rated", case_id, "no truth" if case_id in paths else "no segmentation")

    rows = [_row(case_id, paths[case_id], truths[case_id], noise, seed) for case_id in cases]
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".partial_{output.name}")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    os.replace(partial, output)
    return Counter(int(row["code"]) for row in rows)


def _row(case_id: str, segmentation: Path, truth: Path, noise: float, seed: int) -> dict[str, str | int]:
    pred_image, truth_image = nib.load(segmentation), nib.load(truth)
    pred, label = (np.asarray(image.dataobj).astype(np.uint8) for image in (pred_image, truth_image))  # type: ignore[attr-defined]
    spacing = [float(size) for size in truth_image.header.get_zooms()[:3]]  # type: ignore[attr-defined]
    rng = np.random.default_rng([seed, *hashlib.sha256(case_id.encode()).digest()])
    try:
        code = rate(pred, label, spacing=spacing, noise=noise, rng=rng)
        worst = min(judge(pred, label, spacing=spacing), key=lambda organ: organ.quality)
    except ValueError as error:
        raise ValueError(f"{case_id}: {error}") from None
    return {
        "case_id": case_id,
        "code": code,
        "rater": RATER,
        "reason": f"{worst.organ} {worst.quality:.2f}",
        "segmentation_sha256": hashlib.sha256(segmentation.read_bytes()).hexdigest(),
    }
