"""What brings slices to the body-part regressor."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from custom_components.transforms.axial_slices import AxialSlicesd
from custom_components.transforms.label_landmarks import LabelLandmarksd
from custom_components.transforms.rand_each_slice import RandEachSliced
from custom_components.transforms.rand_mirror import RandMirrord
from custom_components.transforms.rand_slices import RandSlicesd


def test_slices_are_bytes_with_their_heights():
    volume = MetaTensor(torch.zeros(1, 30, 30, 12), affine=np.diag([4.0, 4.0, 5.0, 1.0]))
    found = AxialSlicesd("image")({"image": volume})
    assert found["image"].dtype == torch.uint8
    assert found["image"].shape == (12, 128, 128)
    assert found["image"][0, 64, 64] == 128
    assert found["height"].tolist() == [5.0 * k for k in range(12)]


def test_drawn_slices_are_in_order_with_their_heights_and_all_occur():
    slices, height = torch.arange(30, dtype=torch.uint8).view(-1, 1, 1), 5.0 * torch.arange(30)
    draw = RandSlicesd("image", count=8).set_random_state(0)
    seen = set()
    for _ in range(50):
        drawn = draw({"image": slices, "height": height})
        numbers = (drawn["image"].ravel() * 255).round()
        assert (numbers.diff() > 0).all()
        assert drawn["height"].tolist() == (5 * numbers).tolist()
        seen |= set(numbers.tolist())
    assert seen == set(range(30))
    with pytest.raises(ValueError, match="image has 7 slices, expected at least 8"):
        draw({"image": slices[:7], "height": height[:7]})


def test_mirrored_slices_are_called_so():
    slices = torch.rand(3, 8, 8)
    mirror = RandMirrord("image", prob=0.5).set_random_state(0)
    seen = set()
    for _ in range(20):
        changed = mirror({"image": slices})
        seen.add(float(changed["mirrored"]))
        assert torch.equal(changed["image"], slices.flip(1) if changed["mirrored"] else slices)
    assert seen == {0.0, 1.0}


def test_each_slice_changes_in_its_own_way_and_stays_in_its_window():
    one = torch.zeros(64, 64)
    one[20:44, 24:40] = 0.5
    slices = one.expand(16, 64, 64).clone()
    changed = RandEachSliced("image", prob=1.0).set_random_state(0)({"image": slices})["image"]
    assert torch.equal(slices[0], one)
    assert float(changed.min()) >= 0
    assert float(changed.max()) <= 1
    sizes = (changed > 0.3).sum(dim=(1, 2)).tolist()
    assert len(set(sizes)) > 10
    same = RandEachSliced("image", prob=0.0).set_random_state(0)({"image": slices})["image"]
    assert torch.allclose(same, slices, atol=1e-6)


def test_no_slice_is_mirrored_by_the_changes():
    one = torch.zeros(64, 64)
    one[45:55, 28:36] = 0.5
    changed = RandEachSliced("image", prob=1.0, cut=0).set_random_state(0)({"image": one.expand(50, 64, 64)})["image"]
    right = changed[:, 32:].sum(dim=(1, 2))
    assert (right > 2 * changed[:, :32].sum(dim=(1, 2))).all()


def test_landmarks_are_in_mm():
    label = torch.zeros(1, 4, 4, 20, dtype=torch.uint8)
    label[..., 5:12] = 6
    found = LabelLandmarksd("label")({"label": MetaTensor(label, affine=np.diag([1.0, 1.0, 2.5, 1.0]))})
    assert found == {
        "landmarks": {"top of the liver": 27.5, "bottom of the liver": 12.5},
        "organs": {"liver": (12.5, 27.5)},
    }
