from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor

from custom_components.anatomy import INDEX
from custom_components.transforms.move_organs import SOFT, RandMoveOrgansd

LIVER, SPLEEN, KIDNEY = (INDEX[name] for name in ("liver", "spleen", "left_kidney"))


def item() -> dict:
    """Fat with a liver, in which bone lies, and a spleen and a kidney."""
    shape = (1, 32, 32, 32)
    image = 0.25 + 0.02 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    label = torch.zeros(shape, dtype=torch.uint8)
    image[:, :6, :, :], image[:, 28:] = 0.0, 0.95  # lung, bone
    for index, x, y, z in (
        (LIVER, slice(6, 12), slice(4, 28), slice(4, 28)),
        (SPLEEN, slice(18, 22), slice(6, 12), slice(18, 24)),
        (KIDNEY, slice(18, 22), slice(18, 24), slice(12, 18)),
    ):
        label[:, x, y, z], image[:, x, y, z] = index, 0.6
    affine = torch.diag(torch.tensor([2.0, 2.0, 6.0, 1.0]))
    return {"image": MetaTensor(image, affine=affine), "label": MetaTensor(label, affine=affine), "case_id": "a"}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31))
def test_one_organ_moves_over_soft_tissue_without_a_label_and_all_else_stays(seed):
    before = item()
    after = RandMoveOrgansd(prob=1.0, absent=0.0, fraction=(0.1, 0.1, 0.2)).set_random_state(seed)(before)
    assert after["case_id"] == "a"
    for key in ("image", "label"):
        assert after[key].dtype == before[key].dtype
        assert after[key].shape == before[key].shape
        assert after[key].pixdim.tolist() == [2, 2, 6]
    old, new = before["label"], after["label"]
    moved = [index for index in (LIVER, SPLEEN, KIDNEY) if not torch.equal(old == index, new == index)]
    assert len(moved) <= 1
    for index in moved:
        assert index != LIVER
        count = (old == index).sum()
        assert 0.75 * count <= (new == index).sum() <= count
        came = (new == index) & (old != index)
        assert (old[came] == 0).all()
        assert ((before["image"][came] > SOFT[0]) & (before["image"][came] < SOFT[1])).all()
        assert float(after["image"][new == index].median()) == pytest.approx(0.6, abs=0.1)
        left = (old == index) & (new == 0)
        if left.sum() > 20:
            assert float(after["image"][left].median()) == pytest.approx(0.25, abs=0.1)


def test_an_organ_that_is_taken_out_leaves_the_tissue_around_it_with_its_texture():
    before = item()
    after = RandMoveOrgansd(prob=1.0, absent=1.0, organs=["spleen"]).set_random_state(0)(before)
    gone = before["label"] == SPLEEN
    assert (after["label"][gone] == 0).all()
    assert torch.equal(after["label"][~gone], before["label"][~gone])
    place, fat = (one.as_tensor() for one in (after["image"][gone], before["image"][:, 13:16]))
    assert place.mean().item() == pytest.approx(fat.mean().item(), abs=0.01)
    assert 0.5 < place.std() / fat.std() < 1.5
    others = (before["label"] > 0) & ~gone
    assert torch.equal(after["image"][others], before["image"][others])


def test_items_stay_whose_organs_have_no_room_or_are_too_small():
    full = item()
    full["label"][full["label"] == 0] = INDEX["stomach"]
    tiny = item()
    for index in (SPLEEN, KIDNEY):
        place = (tiny["label"] == index).nonzero()[29:]
        tiny["label"][tuple(place.T)] = 0
    for one in (full, tiny):
        after = RandMoveOrgansd(prob=1.0, absent=0.0).set_random_state(3)(one)
        assert torch.equal(after["label"], one["label"])
        assert torch.equal(after["image"], one["image"])


def test_the_share_of_changed_items_and_of_absent_organs_is_as_said():
    move = RandMoveOrgansd(prob=0.4, absent=0.5).set_random_state(0)
    before = item()
    counts = [tuple(int((move(before)["label"] == index).sum()) for index in (SPLEEN, KIDNEY)) for _ in range(300)]
    whole = tuple(int((before["label"] == index).sum()) for index in (SPLEEN, KIDNEY))
    assert 0.12 < sum(0 in one for one in counts) / 300 < 0.28
    assert counts.count(whole) > 150


def test_what_is_wrong_is_told():
    with pytest.raises(ValueError, match="organs name 'brain', expected some of spleen"):
        RandMoveOrgansd(organs=["brain"])
    with pytest.raises(ValueError, match="absent is 2"):
        RandMoveOrgansd(absent=2)
    with pytest.raises(ValueError, match="fraction is"):
        RandMoveOrgansd(fraction=(0.1, 0.1))
