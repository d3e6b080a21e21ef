from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor

from custom_components.transforms.cut_field_of_view import RandCutFieldOfViewd

KEYS = ["image", "label"]


def item() -> dict:
    generator = torch.Generator().manual_seed(0)
    image = 0.1 + 0.9 * torch.rand(1, 20, 16, 12, generator=generator)
    label = torch.randint(1, 13, (1, 20, 16, 12), generator=generator, dtype=torch.uint8)
    affine = torch.diag(torch.tensor([2.0, 2.0, 6.0, 1.0]))
    return {"image": MetaTensor(image, affine=affine), "label": MetaTensor(label, affine=affine)}


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31))
def test_voxels_are_kept_in_place_or_set_to_zero_in_image_and_label_alike(seed):
    before = item()
    after = RandCutFieldOfViewd(KEYS, prob=1.0, circle_prob=0.5).set_random_state(seed)(before)
    kept = after["image"] > 0
    assert torch.equal(after["label"] > 0, kept)
    for key in KEYS:
        assert torch.equal(after[key][kept], before[key][kept])
        assert after[key].dtype == before[key].dtype
        assert after[key].pixdim.tolist() == [2, 2, 6]
    # A cut takes from the sides: what is left is one block about the middle along each axis.
    for axis, largest in zip((1, 2, 3), (0.3, 0.3, 0.35), strict=True):
        seen = kept.transpose(axis, 0).flatten(1).any(1).nonzero().flatten()
        assert len(seen) == seen[-1] - seen[0] + 1
        lost = max(int(seen[0]), kept.shape[axis] - 1 - int(seen[-1]))
        assert lost <= round(largest * kept.shape[axis])


def test_is_deterministic_and_leaves_its_input_alone():
    before = item()
    cut = RandCutFieldOfViewd(KEYS, prob=0.7)
    runs = [[cut.set_random_state(5)(before)["image"], *(cut(before)["image"] for _ in range(9))] for _ in "ab"]
    assert all(torch.equal(first, second) for first, second in zip(*runs, strict=True))
    untouched = sum(torch.equal(image, before["image"]) for image in runs[0])
    assert 0 < untouched < 10
    assert torch.equal(before["image"], item()["image"])


def test_circle_is_round_and_the_same_in_every_slice():
    cut = RandCutFieldOfViewd("image", max_fraction=(0, 0, 0), prob=1.0, circle_prob=1.0).set_random_state(1)
    seen = cut({"image": torch.ones(1, 40, 40, 3)})["image"][0] > 0
    assert torch.equal(seen, seen[:, :, :1].expand_as(seen))
    assert torch.equal(seen, seen.transpose(0, 1))
    assert torch.equal(seen, seen.flip(0))
    diameter = int(seen[20, :, 0].sum())
    assert 28 <= diameter <= 40
    assert seen[:, :, 0].sum() == pytest.approx(torch.pi * diameter**2 / 4, rel=0.06)


def test_prob_0_changes_nothing():
    before = item()
    assert torch.equal(RandCutFieldOfViewd(KEYS, prob=0.0)(before)["image"], before["image"])


def test_errors_tell_what_was_found():
    with pytest.raises(ValueError, match=r"max_fraction is \(0.1, 0.1, 0.5\), expected"):
        RandCutFieldOfViewd("image", max_fraction=(0.1, 0.1, 0.5))
    cut = RandCutFieldOfViewd(KEYS, prob=1.0)
    with pytest.raises(ValueError, match=r"'label': \(4, 4, 3\)"):
        cut({"image": torch.zeros(1, 4, 4, 4), "label": torch.zeros(1, 4, 4, 3)})
    with pytest.raises(ValueError, match="image has 2 axes, expected 3"):
        cut({"image": torch.zeros(1, 4, 4), "label": torch.zeros(1, 4, 4)})
