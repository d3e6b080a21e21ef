from __future__ import annotations

import math

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from conftest import RatedCohort, write_volume

from custom_components.anatomy import INDEX, NUM_CLASSES, ORGAN_NAMES, label_map
from custom_components.report.comparison import signed_rank
from custom_components.report.dice_comparison import MEAN, compare_dice, measure_dice, organ_dice

LIVER, SPLEEN = "liver", "spleen"
# the upper half of the liver is there: 6 * 4 * 6 of 6 * 8 * 6 voxels
HALF = 2 * 144 / (144 + 288)


def test_dice_of_each_organ_is_that_of_its_masks():
    rng = np.random.default_rng(0)
    pred, truth = (rng.integers(0, NUM_CLASSES - 1, (9, 8, 7)).astype(np.uint8) for _ in range(2))
    found = organ_dice(pred, truth)
    for index in range(1, NUM_CLASSES - 1):
        both = np.sum((pred == index) & (truth == index))
        assert found[index - 1] == pytest.approx(2 * both / (np.sum(pred == index) + np.sum(truth == index)))
    assert math.isnan(found[-1])
    pred[0, 0, 0] = NUM_CLASSES - 1
    assert math.isnan(organ_dice(pred, truth)[-1])
    assert organ_dice(np.zeros_like(truth), truth)[0] == 0


def test_cases_are_measured_against_their_truth(rated: RatedCohort):
    found = measure_dice("abcde", rated.before, rated.truth)
    assert (found.set_aside, found.without) == ({}, [])
    assert list(found.table.columns) == list(ORGAN_NAMES)
    assert found.table[LIVER].to_dict() == pytest.approx({"a": 0, "b": 1, "c": HALF, "d": 0, "e": HALF})
    assert (found.table[SPLEEN] == 1).all()
    assert found.table["pancreas"].isna().all()


def test_what_cannot_be_measured_is_set_aside_or_named(rated: RatedCohort):
    truth = rated.truth / "a.nii.gz"
    truth.write_bytes(truth.read_bytes()[:-30])
    shifted = nib.load(rated.truth / "b.nii.gz")
    nib.save(nib.Nifti1Image(np.asarray(shifted.dataobj), np.diag([6.0, 6.0, 5.0, 1.0])), rated.truth / "b.nii.gz")
    (rated.truth / "c.nii.gz").unlink()
    (rated.before / "d" / "d_seg.nii.gz").unlink()
    write_volume(rated.before / "e.nii.gz", np.zeros((16, 16, 9), np.uint8))
    found = measure_dice("abcde", rated.before, rated.truth)
    assert found.without == ["c", "d"]
    assert found.table.empty
    assert sorted(found.set_aside) == ["a", "b", "e"]
    assert found.set_aside["a"].startswith("a.nii.gz: truncated or damaged")
    assert found.set_aside["b"].startswith("b_seg.nii.gz lies up to ")
    assert found.set_aside["e"] == "2 label maps: e_seg.nii.gz and e.nii.gz, expected one"
    assert str(rated.truth.parent) not in str(found.set_aside)
    assert compare_dice(found.table, found.table) == []


def test_organs_that_a_numbering_lacks_are_not_measured(rated: RatedCohort):
    back = {ours: number for number, ours in label_map("flare22").items()}
    for case in "abcde":
        label = np.asarray(nib.load(rated.truth / f"{case}.nii.gz").dataobj)
        renumbered = np.select([label == INDEX[name] for name in (LIVER, SPLEEN)], [back[6], back[1]], 0)
        write_volume(rated.truth / f"{case}.nii.gz", renumbered.astype(np.uint8))
    found = measure_dice("abcde", rated.after, rated.truth, truth_label_set="flare22")
    assert found.table[LIVER].to_dict() == pytest.approx({"a": 1, "b": 0, "c": HALF, "d": HALF, "e": 1})
    only_spleen = measure_dice("abcde", rated.after, rated.truth, label_set=[SPLEEN], truth_label_set="flare22")
    assert only_spleen.table[LIVER].isna().all()
    assert (only_spleen.table[SPLEEN] == 1).all()


def table(**columns: list[float]) -> pd.DataFrame:
    rows = len(next(iter(columns.values())))
    return pd.DataFrame({name: columns.get(name, [np.nan] * rows) for name in ORGAN_NAMES}).set_axis(
        list("abcd")[:rows]
    )


def test_change_of_dice_is_over_the_cases_that_have_the_organ():
    before = table(liver=[0.5, 0.6, 0.7, np.nan], spleen=[0.2, np.nan, np.nan, np.nan])
    after = table(liver=[0.7, 0.7, 0.9, 0.1], spleen=[0.1, np.nan, np.nan, np.nan])
    spleen, liver, mean = compare_dice(before, after)
    assert (liver.organ, liver.cases, liver.before, liver.after) == (LIVER, 3, 0.6, pytest.approx(2.3 / 3))
    assert liver.difference.value == pytest.approx(0.5 / 3)
    assert 0.1 - 1e-9 <= liver.difference.low < liver.difference.value < liver.difference.high <= 0.2 + 1e-9
    assert liver.test == signed_rank([0, 0, 0], [0.2, 0.1, 0.2])
    assert (spleen.cases, spleen.difference.value) == (1, pytest.approx(-0.1))
    assert math.isnan(spleen.difference.low)
    # means of a case: 0.35, 0.6, 0.7 and 0.4, 0.7, 0.9
    assert (mean.organ, mean.cases, mean.before, mean.after) == (
        MEAN, 3, pytest.approx(1.65 / 3), pytest.approx(2 / 3),
    )  # fmt: skip


def test_only_cases_of_both_tables_are_compared_and_equal_ones_have_no_p():
    before = table(liver=[0.5, 0.6, 0.7])
    (liver, _) = compare_dice(before, before.iloc[[2, 1]])
    assert (liver.cases, liver.before, liver.difference) == (2, pytest.approx(0.65), (0, 0, 0))
    assert math.isnan(liver.test.p_value)
    assert liver.test.note == "no case changed"
