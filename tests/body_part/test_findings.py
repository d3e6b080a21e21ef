from __future__ import annotations

import numpy as np
import pytest
import torch
from body_part_volumes import SLOPE, regressor, trunk
from monai.data import MetaTensor

from custom_components.body_part.findings import check_body_part

RANGE = (-6.0, 6.0)


def check(volume: MetaTensor) -> None:
    check_body_part(regressor()(volume), SLOPE, RANGE)


@pytest.mark.parametrize(("bottom", "top"), [(-250, 300), (-100, 120), (-40, 40)])
def test_a_trunk_passes_whole_or_in_part(bottom: float, top: float):
    check(trunk(bottom, top))


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_small_and_large_patients_pass(factor: float):
    check(trunk(-150, 150, header=5.0 * factor))


@pytest.mark.parametrize(
    ("volume", "reason"),
    [
        (trunk(-150, 150).flip(3), "^has its slices in reverse order: slice scores grow upwards$"),
        (trunk(-150, 150, header=2.5), r"wrong slice spacing: its slices seem to lie 2\.00 times as far apart"),
        (trunk(-150, 150, header=10.0), r"seem to lie 0\.50 times as far apart as the header says"),
        (trunk(-150, 150).flip(1), r"^has left and right exchanged \(probability 1\.00\)$"),
        (trunk(320, 700), r"^is of another part of the body: slice scores -21\.\d to -10\.0, expected .* -6 to 6$"),
        (trunk(-600, -260), r"^is of another part of the body: slice scores 8\.1 to 18\.\d"),
    ],
    ids=["reverse order", "too small", "too large", "mirrored", "head", "legs"],
)
def test_what_is_wrong_is_said_in_one_line(volume: MetaTensor, reason: str):
    with pytest.raises(ValueError, match=reason) as caught:
        check(volume)
    assert "\n" not in str(caught.value)


def test_what_has_no_order_is_no_trunk():
    volume = trunk(-150, 150)
    order = np.random.default_rng(0).permutation(volume.shape[3])
    shuffled = MetaTensor(volume.as_tensor()[..., torch.as_tensor(order)], affine=volume.affine)
    with pytest.raises(ValueError, match="^is no scan of a trunk: "):
        check(shuffled)


def test_a_long_scan_passes_though_scores_stay_the_same_beyond_the_abdomen():
    volume = trunk(-250, 700)
    voxels = volume.as_tensor().clone()
    voxels[:, 10:30, 10:30, 90:] = 205  # from 200 mm on, as of a network that has seen no more of a chest
    found = regressor()(MetaTensor(voxels, affine=volume.affine))
    assert found.line.inliers < 0.6
    check_body_part(found, SLOPE, RANGE)
