from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.data import MetaTensor

from custom_components.transforms.rand_shift import RandShiftd, shift


def numbered(*size: int) -> torch.Tensor:
    """(1, ...) in which no two voxels are alike and none is 0."""
    return torch.arange(1, torch.Size(size).numel() + 1).reshape(1, *size)


@given(
    size=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    by=st.lists(st.integers(-9, 9), min_size=3, max_size=3),
)
def test_every_voxel_moves_or_leaves_and_what_comes_in_is_0(size: list[int], by: list[int]):
    image, by = numbered(*size), by[: len(size)]
    expected = torch.zeros_like(image)
    for index in (torch.ones(size).nonzero()).tolist():
        to = [place + step for place, step in zip(index, by, strict=True)]
        if all(0 <= place < length for place, length in zip(to, size, strict=True)):
            expected[(0, *to)] = image[(0, *index)]
    assert torch.equal(shift(image, by), expected)


def test_a_shift_is_towards_higher_indices_and_does_not_wrap_around():
    assert shift(torch.tensor([[[1, 2, 3], [4, 5, 6]]]), (1, -1)).tolist() == [[[0, 0, 0], [2, 3, 0]]]


def test_labels_stay_with_their_image_and_keep_their_type():
    image = MetaTensor(numbered(8, 7, 6).float())
    label = (numbered(8, 7, 6) % 13).to(torch.uint8)
    transform = RandShiftd(["image", "label"], max_shift=(3, 2, 1), prob=1.0).set_random_state(0)
    shifts = set()
    for _ in range(20):
        item = transform({"image": image, "label": label, "case_id": "a"})
        shifts.add(transform.shift)
        assert torch.equal(item["image"], shift(image, transform.shift))
        assert torch.equal(item["label"], shift(label, transform.shift))
        inside = item["image"] > 0
        assert torch.equal(item["label"][inside], (item["image"][inside].long() % 13).to(torch.uint8))
        assert (item["label"].dtype, item["image"].dtype, item["case_id"]) == (torch.uint8, torch.float32, "a")
    assert len(shifts) > 10
    assert torch.equal(image, numbered(8, 7, 6).float())  # the item itself is left alone


def test_shifts_reach_their_limits_and_not_further():
    transform = RandShiftd("image", max_shift=(2, 1), prob=1.0).set_random_state(0)
    drawn = []
    for _ in range(200):
        transform({"image": numbered(4, 4)})
        drawn.append(transform.shift)
    assert {x for x, _ in drawn} == {-2, -1, 0, 1, 2}
    assert {y for _, y in drawn} == {-1, 0, 1}


def test_the_seed_decides_the_shift():
    def drawn(seed: int) -> list[torch.Tensor]:
        transform = RandShiftd("image", max_shift=(3, 3), prob=0.5).set_random_state(seed)
        return [transform({"image": numbered(8, 8)})["image"] for _ in range(8)]

    one, again, other = drawn(1), drawn(1), drawn(2)
    assert torch.equal(torch.stack(one), torch.stack(again))
    assert not torch.equal(torch.stack(one), torch.stack(other))


@pytest.mark.parametrize(("max_shift", "prob"), [((0, 0), 1.0), ((3, 3), 0.0)])
def test_nothing_moves_without_a_shift_or_probability(max_shift: tuple[int, int], prob: float):
    transform = RandShiftd("image", max_shift=max_shift, prob=prob).set_random_state(0)
    for _ in range(10):
        assert torch.equal(transform({"image": numbered(5, 5)})["image"], numbered(5, 5))


def test_a_missing_key_is_allowed_if_said_so():
    item = {"label": numbered(4)}
    optional = RandShiftd(["image", "label"], max_shift=(1,), prob=1.0, allow_missing_keys=True)
    assert set(optional(item)) == {"label"}
    with pytest.raises(KeyError, match="image"):
        RandShiftd(["image", "label"], max_shift=(1,), prob=1.0)(item)
