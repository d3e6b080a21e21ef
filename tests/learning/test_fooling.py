"""The rule of the fooling monitor, and what it measures."""

import math

import numpy as np
import pytest

from custom_components.anatomy import INDEX
from custom_components.learning.fooling import (
    FoolingRule,
    Look,
    Plausible,
    annotated_findings,
    judged_dice,
    organ_findings,
    volume_bias,
)

LIVER, SPLEEN, RIGHT, LEFT = (INDEX[name] for name in ("liver", "spleen", "right_kidney", "left_kidney"))


def anatomy(liver: int = 8) -> np.ndarray:
    labels = np.zeros((20, 20, 20), np.uint8)
    labels[1 : 1 + liver, 1:9, 1:9] = LIVER
    labels[15:18, 1:5, 1:5] = SPLEEN
    labels[15:18, 8:11, 1:4] = RIGHT
    labels[15:18, 14:17, 1:4] = LEFT
    return labels


def look(
    iteration: int = 0,
    score: float = 1.0,
    watcher: float = 1.0,
    implausible: float = 0.2,
    bias: float = 0.01,
    drift: float = 0.2,
) -> Look:
    return Look(iteration, score, watcher, implausible, 1.0, 1.0, bias, drift, {"liver": 1500.0})


def test_volume_and_pieces_are_counted_without_specks():
    labels = anatomy()
    labels[12, 12, 12] = LIVER
    found = organ_findings(labels, voxel_ml=0.5)
    assert found["liver"] == (0.5 * (512 + 1), 1)
    assert organ_findings(labels, voxel_ml=2.0)["liver"] == (2.0 * 513, 2)
    assert set(found) == {"liver", "right_kidney", "left_kidney", "spleen"}


def test_plausible_is_what_good_segmentations_look_like_with_a_margin():
    plausible = Plausible.of([organ_findings(anatomy(size), 1.0) for size in (8, 10)], margin=1.25)
    assert plausible.volumes_ml["liver"] == (512 / 1.25, 640 * 1.25)

    def is_implausible(labels: np.ndarray) -> bool:
        return plausible.is_implausible(organ_findings(labels, 1.0))

    assert not is_implausible(anatomy(9))
    assert not is_implausible(anatomy(7))
    assert is_implausible(anatomy(6))
    assert is_implausible(anatomy(13))
    missing = anatomy()
    missing[missing == SPLEEN] = 0
    assert is_implausible(missing)
    broken = anatomy()
    broken[4] = 0
    assert is_implausible(broken)
    with pytest.raises(ValueError, match="good is empty"):
        Plausible.of([])


def test_an_organ_that_was_not_annotated_says_nothing_about_what_is_plausible():
    only_spleen = [number == SPLEEN for number in range(13)]
    spleen = np.where(anatomy() == SPLEEN, anatomy(), 0)
    partial, full = annotated_findings(spleen, only_spleen, 1.0), annotated_findings(anatomy(), None, 1.0)
    assert set(partial) == {"spleen"}
    without_liver = organ_findings(np.where(anatomy() == LIVER, 0, anatomy()), 1.0)
    assert Plausible.of([partial, full]).is_implausible(without_liver)
    assert not Plausible.of([partial]).is_implausible(without_liver)


def test_dice_is_the_mean_of_the_judged_organs_that_there_are():
    assert judged_dice(anatomy(), anatomy()) == 1
    assert judged_dice(np.zeros_like(anatomy()), np.zeros_like(anatomy())) == 1
    other = anatomy()
    other[other == SPLEEN] = INDEX["stomach"]
    assert judged_dice(anatomy(), other) == 0.75


def test_bias_is_of_the_organ_that_is_off_most_over_all_cases_together():
    good = [organ_findings(anatomy(liver), 1.0) for liver in (8, 10)]
    assert volume_bias(good, good) == 0
    one_larger = [organ_findings(anatomy(liver), 1.0) for liver in (10, 8)]
    assert volume_bias(one_larger, good) == 0  # too much here, too little there: no bias
    all_larger = [organ_findings(anatomy(liver), 1.0) for liver in (10, 12)]
    assert volume_bias(all_larger, good) == pytest.approx(22 / 18 - 1)
    partly = [{name: one for name, one in good[0].items() if name != "liver"}, good[1]]  # one liver was not annotated
    assert volume_bias(all_larger, partly) == pytest.approx(12 / 10 - 1)
    assert math.isnan(volume_bias([], []))
    absent = organ_findings(np.zeros_like(anatomy()), 1.0)
    assert math.isnan(volume_bias([good[0]], [absent]))


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (look(100, score=0.92, watcher=1.1), ""),  # too little to tell
        (look(100, score=0.5, watcher=0.6), ""),  # the watchers agree
        (look(100, score=0.5, watcher=0.8), "the QA score fell by 0.50 while that of the watchers fell by 0.20"),
        (look(100, score=0.5, watcher=1.4), "the QA score fell by 0.50 while that of the watchers rose by 0.40"),
        (
            look(100, score=0.5, watcher=0.5, implausible=0.35),
            "the QA score fell by 0.50 while the share of implausible segmentations rose from 20% to 35%",
        ),
        (look(100, score=0.5, watcher=0.5, bias=math.nan), ""),
        (look(100, score=0.5, watcher=math.nan), ""),
        (look(100, score=math.nan, watcher=2.0, implausible=1.0), ""),
        (look(100, score=1.5, watcher=2.0, implausible=1.0), ""),  # bad, but nobody is fooled
    ],
)
def test_a_run_is_flagged_if_its_score_falls_and_nothing_else_gets_better(now: Look, reason: str):
    before = now._replace(iteration=50)
    assert FoolingRule().reason([look(), before, now]) == (f"iteration 100: {reason}" if reason else "")
    assert FoolingRule().reason([look(), now]) == ""  # one look may be off


def test_each_sign_must_be_there_at_two_looks_in_a_row():
    disagreed = look(80, score=0.89, watcher=0.97)
    implausible = look(160, score=0.89, watcher=0.89, implausible=0.4)
    both = look(320, score=0.8, watcher=0.95, implausible=0.4)
    rule = FoolingRule()
    assert rule.reason([look(), disagreed]) == ""
    assert rule.reason([look(), disagreed, look(160, score=1.05, watcher=1.05)]) == ""
    assert rule.reason([look(), disagreed, implausible]) == ""
    found = rule.reason([look(), disagreed, implausible, both])
    assert found == (
        "iteration 320: the QA score fell by 0.20 while the share of implausible segmentations rose from 20% to 40%"
    )


def test_a_network_that_a_high_learning_rate_has_shaken_gets_time_to_settle():
    off = look(score=0.5, watcher=0.9, implausible=0.9, bias=0.6)
    looks = [look(), *(off._replace(iteration=number) for number in (16, 32, 64))]
    assert FoolingRule().reason(looks[:3]) == ""  # only one of two looks counts
    assert "watchers" in FoolingRule().reason(looks)
    assert "watchers" in FoolingRule(settle=16).reason(looks[:3])


def test_limits_of_the_rule_are_numbers_of_its_own():
    off = look(100, score=0.5, watcher=0.8, implausible=0.25)
    looks = [look(), off, off]
    assert FoolingRule(agreement=0.3).reason(looks) == ""
    assert "implausible" in FoolingRule(agreement=0.3, rise=0.04).reason(looks)
    assert FoolingRule(fall=0.6).reason(looks) == ""
    with pytest.raises(ValueError, match="agreement is 2, expected a number from 0 to 1"):
        FoolingRule(agreement=2)


def test_a_volume_must_be_off_at_two_looks_in_a_row():
    off = look(100, score=0.94, watcher=0.94, bias=0.11)
    rule = FoolingRule()
    assert rule.reason([look(), off]) == ""
    assert rule.reason([look(), off, look(200, score=0.94, watcher=0.94, bias=0.08)]) == ""
    assert rule.reason([look(), off, look(200, score=0.97, watcher=0.97, bias=0.5)]) == ""
    text = "the QA score fell by 0.06 while an organ's volume in good cases went off from 1% to 12%"
    assert rule.reason([look(), off, look(200, score=0.94, watcher=0.94, bias=0.12)]) == f"iteration 200: {text}"


@pytest.mark.parametrize(
    ("now", "flagged"),
    [
        (look(2, score=0.97, watcher=0.98, bias=0.04, drift=0.003), True),
        (look(2, score=0.97, watcher=0.98, bias=0.04, drift=0.05), False),  # the weights have changed as much
        (look(2, score=0.98, watcher=0.98, bias=0.04, drift=0.003), False),
        (look(2, score=0.97, watcher=0.98, bias=0.025, drift=0.003), False),
        (look(2, score=1.1, watcher=0.98, bias=0.9, drift=0.003), False),
    ],
)
def test_a_score_that_falls_with_hardly_a_change_of_the_weights_is_flagged_early(now: Look, flagged: bool):
    before = now._replace(iteration=1)
    assert FoolingRule().reason([look(drift=0), now]) == ""
    reason = FoolingRule().reason([look(drift=0), before, now])
    text = "an organ's volume in good cases went off from 1% to 4% by a change of 0.3% of the weights"
    assert reason == (f"iteration 2: the QA score fell by 0.03 while {text}" if flagged else "")
