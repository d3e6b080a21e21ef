from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import RandomState

from custom_components.anatomy import INDEX
from custom_components.data.phantom import GRIDS, make_phantom
from custom_components.data.rater import rate
from custom_components.transforms.certain_code import certain_code
from custom_components.transforms.corruption_modes import MODES
from custom_components.transforms.corruption_scene import Scene

SPACING = GRIDS["small"].spacing
SPLEEN, RIGHT, LEFT, LIVER, STOMACH = (
    INDEX[name] for name in ("spleen", "right_kidney", "left_kidney", "liver", "stomach")
)


@pytest.fixture(scope="module")
def phantoms():
    return [make_phantom(seed, shift) for seed, shift in ((1, 0.0), (2, 0.6), (3, 1.0))]


def scene(phantom, labels, donors):
    return Scene(labels, SPACING, np.clip((phantom.image + 175) / 450, 0, 1).astype(np.float32), donors)


@pytest.mark.parametrize("spoilt_before", [False, True])
@pytest.mark.parametrize("name", MODES)
def test_a_certain_code_is_the_raters(phantoms, name, spoilt_before):
    """On perfect segmentations, and on ones that another mode has spoilt before, of whatever code."""
    donors = [phantom.label for phantom in phantoms]
    known = 0
    for seed in range(30):
        phantom, rng = phantoms[seed % 3], RandomState(seed)
        before = phantom.label
        if spoilt_before:
            mild = ("leaked", "shrunken", "fragments", "shifted", "cut_off")[seed % 5]
            before = MODES[mild](scene(phantom, before, donors), rng)
        after = MODES[name](scene(phantom, before, donors), rng)
        code = certain_code(before, after, rate(before, phantom.label, spacing=SPACING), spacing=SPACING)
        known += code is not None
        assert code in (None, rate(after, phantom.label, spacing=SPACING)), seed
    least = {"empty": 14, "swapped": 10, "organ_missing": 10, "upside_down": 5, "noise": 7, "other_case": 4}
    assert known >= least.get(name, 1)


labels_in_blocks = st.lists(st.sampled_from([0, SPLEEN, RIGHT, LEFT, LIVER]), min_size=27, max_size=27)


@settings(max_examples=150, deadline=None)
@given(labels_in_blocks, st.lists(st.integers(0, 26), max_size=8), st.lists(st.integers(0, 26), max_size=16))
def test_no_truth_contradicts_a_certain_code(blocks, wrong, changed):
    """Any truth, any error of the segmentation, any change of it: blocks of 27 ml that move to the next label."""
    truth = np.array(blocks, np.uint8).reshape(3, 3, 3)
    before = truth.ravel().copy()
    before[wrong] = np.roll(before, 1)[wrong]
    after = before.copy()
    after[changed] = np.roll(before, 5)[changed]
    before, after = (labels.reshape(truth.shape) for labels in (before, after))
    code = certain_code(before, after, rate(before, truth, spacing=(30, 30, 30)), spacing=(30, 30, 30))
    assert code in (None, rate(after, truth, spacing=(30, 30, 30)))


def interval(start, stop):
    """A spleen of 10 ml a voxel along a line."""
    labels = np.zeros((60, 1, 1), np.uint8)
    labels[start:stop] = SPLEEN
    return labels


@pytest.mark.parametrize("least_code", [0, 1])
def test_the_worst_of_all_truths_decides(least_code):
    before, spacing = interval(20, 40), (10, 10, 100)
    truths = [interval(start, stop) for start in range(10, 31, 2) for stop in range(start + 10, 60, 2)]
    truths = [truth for truth in truths if rate(before, truth, spacing=spacing) == least_code]
    assert len(truths) >= 10
    certain = []
    for start in range(14, 41, 2):
        for stop in range(start + 2, 61, 4):
            after = interval(start, stop)
            code = certain_code(before, after, least_code, spacing=spacing)
            certain.append(code == 2)
            if code is not None and (after != before).any():
                assert {rate(after, truth, spacing=spacing) for truth in truths} == {code}
    assert 0.1 < np.mean(certain) < 0.9


@pytest.mark.parametrize("code", [0, 1, 2])
def test_the_code_stays_where_no_judged_organ_changed(phantoms, code):
    before = phantoms[0].label
    after = np.where(before == STOMACH, 0, before)
    assert certain_code(before, after, code, spacing=SPACING) == code


@pytest.mark.parametrize("code", [0, 1])
def test_exchanged_kidneys_and_missing_organs_are_gross_after_a_success_or_an_inaccurate_result(phantoms, code):
    before = phantoms[0].label
    names = np.arange(13, dtype=np.uint8)
    names[[RIGHT, LEFT]] = LEFT, RIGHT
    assert certain_code(before, names[before], code, spacing=SPACING) == 2
    for organ in (SPLEEN, RIGHT, LEFT, LIVER):
        assert certain_code(before, np.where(before == organ, 0, before), code, spacing=SPACING) == 2


def test_nothing_is_certain_about_a_gross_failure_whose_judged_organs_change(phantoms):
    before = phantoms[0].label
    assert certain_code(before, np.zeros_like(before), 2, spacing=SPACING) is None
    assert certain_code(before, np.zeros_like(before), float("nan"), spacing=SPACING) is None


def test_a_mean_of_raters_counts_as_the_next_higher_code(phantoms):
    before = phantoms[0].label
    flipped = before[:, :, ::-1]
    assert certain_code(before, flipped, 0, spacing=SPACING) == 2
    assert certain_code(before, flipped, 0.3, spacing=SPACING) == certain_code(before, flipped, 1, spacing=SPACING)
    assert certain_code(before, np.zeros_like(before), 1.5, spacing=SPACING) is None


@pytest.mark.parametrize(("before_ml", "code", "certain"), [(30, 0, None), (60, 0, 2), (60, 1, None), (110, 1, 2)])
def test_a_small_organ_may_be_a_sliver_whose_loss_is_no_gross_failure(before_ml, code, certain):
    before = np.zeros((10, 10, 10), np.uint8)
    before.flat[:before_ml] = SPLEEN
    assert certain_code(before, np.zeros_like(before), code, spacing=(10, 10, 10)) == certain


def test_a_false_organ_of_any_size_that_cannot_be_overlooked_is_gross():
    before = np.zeros((20, 20, 20), np.uint8)
    after = before.copy()
    after[:10, :10, :10] = SPLEEN
    assert certain_code(before, after, 0, spacing=(4, 4, 4)) is None
    assert certain_code(before, after, 0, spacing=(5, 5, 5)) == 2


def test_a_little_change_leaves_the_code_open(phantoms):
    before = phantoms[0].label
    after = before.copy()
    after[tuple(np.argwhere(before == LIVER)[0])] = 0
    assert certain_code(before, after, 0, spacing=SPACING) is None
