from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Flipd, Invertd

from custom_components.anatomy import INDEX, LABEL_SETS, LARGEST_LABEL, annotated_channels, label_map
from custom_components.case_ids import case_name
from custom_components.transforms.map_labels import MapLabelSetd, map_label

OWN_NUMBERS = ["abdomen12", ["spleen", "liver"]]


@pytest.mark.parametrize("label_set", LABEL_SETS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8, torch.int16, torch.float64])
def test_every_number_of_a_source_becomes_our_channel(label_set, dtype):
    numbers = torch.arange(max(LABEL_SETS[label_set]) + 1)
    item = MapLabelSetd()({"label": numbers[None].to(dtype), "label_set": label_set})
    assert item["label"].dtype == torch.uint8
    assert item["label"][0].tolist() == [LABEL_SETS[label_set].get(int(number), 0) for number in numbers]
    assert item["annotated"].tolist() == annotated_channels(label_set)


def test_a_list_of_organs_hides_the_others():
    item = MapLabelSetd()({"label": torch.arange(13), "label_set": ["liver", "spleen"]})
    assert item["label"].unique().tolist() == [0, INDEX["spleen"], INDEX["liver"]]
    assert item["annotated"].nonzero().flatten().tolist() == [0, INDEX["spleen"], INDEX["liver"]]


def test_without_a_label_set_all_twelve_count():
    item = MapLabelSetd()({"label": torch.arange(13)})
    assert item["label"].tolist() == list(range(13))
    assert item["annotated"].all()


@pytest.mark.parametrize(
    ("label_set", "number"), [("flare22", 12), ("amos", 13), ("amos", 15), ("totalsegmentator", 117)]
)
def test_other_structures_of_a_foreign_source_are_background(label_set: str, number: int):
    assert map_label(torch.tensor([0.0, number]), label_set).tolist() == [0, 0]


@pytest.mark.parametrize("label_set", sorted(LARGEST_LABEL))
def test_a_number_that_a_source_does_not_have_is_an_error(label_set: str):
    largest = LARGEST_LABEL[label_set]
    assert set(label_map(label_set)) <= set(range(largest + 1))
    for number in (largest + 1, 65535, 100000):
        with pytest.raises(
            ValueError, match=f"label holds {number:g}, expected 0 to {largest} .label_set '{label_set}'"
        ):
            map_label(torch.tensor([0, number]), label_set)


@pytest.mark.parametrize(
    ("label", "label_set", "message"),
    [
        ([0, 200], "abdomen12", "case a7: label holds 200, expected 0 to 12"),
        ([0, 13], ["spleen"], "case a7: label holds 13, expected 0 to 12"),
        ([-1, 3], "btcv", "case a7: label holds -1, expected 0 to 13"),
        ([0, 1.5], "btcv", "case a7: label holds fractions"),
        ([0, torch.nan], "btcv", "case a7: label holds nan"),
        ([0, torch.inf], "abdomen12", "case a7: label holds inf"),
        ([0, 1], "abdomen13", "case a7: label_set is 'abdomen13', expected one of"),
        ([0, 1], ["spleen", "heart"], r"case a7: label_set holds the organs \['heart'\]"),
    ],
)
def test_errors_name_the_case_and_what_was_found(label, label_set, message):
    with pytest.raises(ValueError, match=message):
        MapLabelSetd()({"case_id": "a7", "label": torch.tensor(label), "label_set": label_set})


def test_keeps_meta_and_inverts():
    affine = torch.diag(torch.tensor([2.0, 2.0, 6.0, 1.0], dtype=torch.float64))
    label = MetaTensor(torch.arange(24).reshape(1, 2, 3, 4) % 14, affine=affine)
    label.meta["filename_or_obj"] = "/archive/case_3.nii.gz"
    load = Compose([Flipd("label", 0), MapLabelSetd("label")])
    item = load({"label": label, "label_set": "btcv"})
    assert isinstance(item["label"], MetaTensor)
    assert item["label"].pixdim.tolist() == [2, 2, 6]
    assert case_name(item, "label") == "case_3"
    assert not [key for key in item if str(key).startswith("image_")]
    inverted = Invertd("label", load, nearest_interp=False)(item)["label"]
    assert torch.equal(inverted.as_tensor(), map_label(label, "btcv").as_tensor())
    assert torch.equal(inverted.affine, affine)
