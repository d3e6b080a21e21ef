import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose

from custom_components.anatomy import INDEX
from custom_components.transforms.organ_greys import LEAST_VOXELS, RandOrganGreysd, organ_greys

LIVER, SPLEEN = INDEX["liver"], INDEX["spleen"]


def table(*rows: dict[int, float]) -> np.ndarray:
    greys = np.full((len(rows), 13), np.nan)
    for row, known in enumerate(rows):
        for index, grey in known.items():
            greys[row, index] = grey
    return greys


def item() -> dict[str, torch.Tensor]:
    label = torch.zeros(1, 16, 16, 16, dtype=torch.uint8)
    label[0, :6], label[0, 10:] = LIVER, SPLEEN
    image = torch.full(label.shape, 0.1)
    image[label == LIVER], image[label == SPLEEN] = 0.6, 0.4
    return {"image": image, "label": label}


def test_medians_hold_where_outlines_do_not():
    image, label = item()["image"], item()["label"]
    label[0, 5] = 0  # a part of the liver was missed
    label[0, 6, :2] = LIVER  # and some of what is around it was taken for liver
    assert organ_greys(image, label)[LIVER] == pytest.approx(0.6)


def test_too_few_voxels_tell_nothing():
    image, label = torch.rand(1, 8, 8, 8), torch.zeros(1, 8, 8, 8, dtype=torch.uint8)
    label.view(-1)[: LEAST_VOXELS - 1] = SPLEEN
    label.view(-1)[LEAST_VOXELS : 2 * LEAST_VOXELS] = LIVER
    greys = organ_greys(image, label)
    assert torch.isfinite(greys).nonzero().flatten().tolist() == [LIVER]


def test_organs_get_the_greys_of_the_other_ct_and_keep_their_texture():
    data = item()
    data["image"][0, :6] += 0.05 * torch.randn(6, 16, 16)
    changed = RandOrganGreysd(table({LIVER: 0.3, SPLEEN: 0.7}), prob=1.0)(data)
    greys = organ_greys(changed["image"], data["label"])
    assert greys[LIVER] == pytest.approx(0.3, abs=0.02)  # the voxels at the surface go half the way
    assert greys[SPLEEN] == pytest.approx(0.7, abs=0.005)
    inside = slice(0, 3)
    shift = changed["image"][0, inside] - data["image"][0, inside]
    assert shift.std() < 1e-3  # what varies inside an organ stays as it was
    torch.testing.assert_close(
        changed["image"][0, 8], data["image"][0, 8], atol=0.01, rtol=0
    )  # nor does what is no organ


def test_a_shift_fades_at_the_surface():
    changed = RandOrganGreysd(table({LIVER: 0.9}), prob=1.0, edge=1.0)(
        {**item(), "image": torch.full((1, 16, 16, 16), 0.5)}
    )
    profile = changed["image"][0, 3:9, 8, 8]
    assert (profile.diff() < 0).all()
    assert profile[0] > 0.89
    assert profile[-1] < 0.51


def test_an_organ_of_unknown_grey_keeps_its_own():
    changed = RandOrganGreysd(table({LIVER: 0.3}), prob=1.0)(item())
    assert organ_greys(changed["image"], item()["label"])[SPLEEN] == pytest.approx(0.4)


def test_share_and_weights_decide_which_items_change_and_how():
    change = RandOrganGreysd(table({LIVER: 0.2}, {LIVER: 0.9}), weights=[3.0, 1.0], prob=0.5)
    change.set_random_state(seed=0)
    found = [round(float(organ_greys(change(item())["image"], item()["label"])[LIVER]), 2) for _ in range(200)]
    counts = {grey: found.count(grey) for grey in sorted(set(found))}
    assert list(counts) == [0.2, 0.6, 0.9]
    assert 80 <= counts[0.6] <= 120
    assert 2 < counts[0.2] / counts[0.9] < 4.5


def test_the_same_seed_gives_the_same_items_within_a_compose():
    change = Compose([RandOrganGreysd(table({LIVER: 0.2}, {LIVER: 0.9}), prob=0.5)])
    first = [change.set_random_state(seed=seed)(item())["image"] for seed in range(6)]
    again = [change.set_random_state(seed=seed)(item())["image"] for seed in range(6)]
    for one, other in zip(first, again, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_meta_data_and_the_item_itself_stay():
    data = item()
    data["image"] = MetaTensor(data["image"], affine=torch.diag(torch.tensor([2.0, 2.0, 6.0, 1.0])))
    before = data["image"].clone()
    changed = RandOrganGreysd(table({LIVER: 0.2}), prob=1.0)(data)["image"]
    assert isinstance(changed, MetaTensor)
    assert torch.equal(changed.affine, before.affine)
    assert torch.equal(data["image"], before)
    assert changed.min() >= 0
    assert changed.max() <= 1


@pytest.mark.parametrize(
    ("greys", "weights", "message"),
    [
        (np.zeros((2, 12)), None, r"greys has shape \(2, 12\), expected \(N, 13\)"),
        (np.zeros((0, 13)), None, r"greys has shape \(0, 13\)"),
        (np.zeros((2, 13)), [1.0], r"weights has shape \(1,\), expected 2"),
        (np.zeros((2, 13)), [0.0, 0.0], r"expected 2 numbers of at least 0"),
        (np.zeros((2, 13)), [1.0, -1.0], r"expected 2 numbers of at least 0"),
    ],
)
def test_wrong_tables_are_refused(greys, weights, message):
    with pytest.raises(ValueError, match=message):
        RandOrganGreysd(greys, weights=weights)
