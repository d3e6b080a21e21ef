"""Dice of each organ before and after, where the truth of a case is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from custom_components.anatomy import NUM_CLASSES, ORGAN_NAMES, LabelSet, annotated_channels
from custom_components.data.case_files import volume_files
from custom_components.data.label_files import read_label
from custom_components.data.set_aside import one_line_reason
from custom_components.report.comparison import LEVEL, Difference, Significance, signed_rank
from custom_components.transforms.same_grid import check_same_grid

MEAN = "mean over organs"


class SetDice(NamedTuple):
    """Dice of one set of segmentations.

    Attributes:
        table: a row a case and a column an organ; nan where the truth lacks the organ, or does not say.
        set_aside: cases that could not be measured, with the reason.
        without: cases that lack their segmentation or their truth.
    """

    table: pd.DataFrame
    set_aside: dict[str, str]
    without: list[str]


class OrganChange(NamedTuple):
    """Dice of an organ over the cases that have it: means, difference with bootstrap interval, Wilcoxon's test."""

    organ: str
    cases: int
    before: float
    after: float
    difference: Difference
    test: Significance


def measure_dice(
    cases: Iterable[str],
    segmentations: str | Path,
    truth: str | Path,
    *,
    label_set: LabelSet = "abdomen12",
    truth_label_set: LabelSet = "abdomen12",
) -> SetDice:
    """Measure the Dice of every organ of every case against its truth.

    Args:
        cases: case ids.
        segmentations: folder of `<case>/<case>_seg.nii.gz` or `<case>.nii.gz`.
        truth: folder of true label maps, named in the same ways, each on the grid of its segmentation.
        label_set: how the segmentations are numbered.
        truth_label_set: how the truth is numbered.

    Raises:
        ValueError: a folder holds no label maps, or a label set is unknown.
    """
    files, truths = volume_files(segmentations), volume_files(truth)
    known = np.logical_and(annotated_channels(label_set), annotated_channels(truth_label_set))[1:]
    rows: dict[str, NDArray[np.float64]] = {}
    set_aside: dict[str, str] = {}
    without: list[str] = []
    for case_id in tqdm(sorted(cases), desc="Dice", unit="case"):
        if case_id not in files or case_id not in truths:
            without.append(case_id)
            continue
        try:
            found = _one_file(files, case_id), _one_file(truths, case_id)
            dice = _dice_of_files(*found, label_set, truth_label_set)
        except (ValueError, OSError, MemoryError) as error:
            set_aside[case_id] = one_line_reason(error)
        else:
            rows[case_id] = np.where(known, dice, np.nan)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=list(ORGAN_NAMES), dtype=float)
    return SetDice(table, set_aside, without)


def organ_dice(pred: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Give the Dice of the 12 organs, (12,); nan where the truth lacks an organ.

    Args:
        pred: labels 0 to 12, (X, Y, Z).
        truth: labels 0 to 12, same shape.
    """
    pairs = truth.ravel().astype(np.int64) * NUM_CLASSES + pred.ravel()
    counts = np.bincount(pairs, minlength=NUM_CLASSES**2).reshape(NUM_CLASSES, NUM_CLASSES)
    true, found = counts.sum(axis=1), counts.sum(axis=0)
    dice = np.full(NUM_CLASSES, np.nan)
    np.divide(2.0 * np.diag(counts), true + found, out=dice, where=true > 0)
    return dice[1:]


def compare_dice(
    before: pd.DataFrame, after: pd.DataFrame, *, resamples: int = 2000, seed: int = 0
) -> list[OrganChange]:
    """Compare the Dice of the cases that both tables have, organ by organ, and the mean over a case's organs.

    The interval of the difference is the percentiles of a bootstrap over cases; of one case there is none. An organ
    that no case has is left out.

    Args:
        before: as `SetDice.table`.
        after: as `SetDice.table`.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    cases = before.index.intersection(after.index)
    tables = [table.loc[cases].assign(**{MEAN: table.loc[cases].mean(axis=1)}) for table in (before, after)]
    changes = []
    for organ in (*ORGAN_NAMES, MEAN):
        old, new = (table[organ].to_numpy() for table in tables)
        has_both = ~np.isnan(old) & ~np.isnan(new)
        old, new = old[has_both], new[has_both]
        if len(old):
            difference = Difference(float((new - old).mean()), *_bootstrap(new - old, resamples, seed))
            # without the last digits, which would part equal changes
            test = signed_rank(np.zeros(len(old)), (new - old).round(12))
            changes.append(OrganChange(organ, len(old), float(old.mean()), float(new.mean()), difference, test))
    return changes


def _bootstrap(differences: NDArray[np.float64], resamples: int, seed: int) -> tuple[float, float]:
    if len(differences) < 2:
        return float("nan"), float("nan")
    draws = np.random.default_rng(seed).integers(len(differences), size=(resamples, len(differences)))
    low, high = np.quantile(differences[draws].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _one_file(files: Mapping[str, list[Path]], case_id: str) -> Path:
    if len(paths := files[case_id]) > 1:
        raise ValueError(f"{len(paths)} label maps: {' and '.join(path.name for path in paths)}, expected one")
    return paths[0]


def _dice_of_files(
    segmentation: Path, truth: Path, label_set: LabelSet, truth_label_set: LabelSet
) -> NDArray[np.float64]:
    pred, label = read_label(segmentation, label_set), read_label(truth, truth_label_set)
    check_same_grid(segmentation.name, pred.shape[1:], pred.affine, "the truth", label.shape[1:], label.affine)
    return organ_dice(pred[0].numpy(), label[0].numpy())
