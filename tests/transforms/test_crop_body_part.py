from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from body_part_volumes import regressor, trunk
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd, Orientationd, ResizeWithPadOrCropd, Spacingd

from custom_components.transforms.crop_body_part import AIR_HU, CropBodyPartd
from custom_components.transforms.invert_labels import InvertLabelsd


def heights(volume: MetaTensor) -> np.ndarray:
    """Of the slices, in mm, as `trunk` wrote them; air is NaN."""
    column = volume[0, 20, 15].numpy()
    return np.where(column == AIR_HU, np.nan, column)


def test_the_range_of_scores_is_kept():
    crop = CropBodyPartd("image", regressor=regressor())
    found = heights(crop({"image": trunk(-300, 350)})["image"])
    assert found[0] == pytest.approx(-6 * 32, abs=5)
    assert found[-1] == pytest.approx(6 * 32, abs=5)
    upper = CropBodyPartd("image", regressor=regressor(), scores=(-3, 0))
    found = heights(upper({"image": trunk(-300, 350, spacing=2)})["image"])
    assert found[[0, -1]] == pytest.approx([0, 96], abs=2)


def test_a_scan_of_a_part_is_padded_so_that_the_middle_stays_where_it_is(caplog: pytest.LogCaptureFixture):
    crop = CropBodyPartd(("image", "label"), regressor=regressor())
    volume = trunk(-50, 120)
    label = MetaTensor(torch.ones(volume.shape, dtype=torch.uint8), affine=volume.affine)
    with caplog.at_level(logging.INFO):
        cropped = crop({"image": volume, "label": label, "case_id": "a"})
    found = heights(cropped["image"])
    assert np.nanmin(found) == -50
    assert np.nanmax(found) == 120
    assert abs(np.flatnonzero(found == 0)[0] - (len(found) - 1) / 2) <= 1
    assert cropped["label"][0, 0, 0].tolist() == np.where(np.isnan(found), 0, 1).tolist()
    assert "case a: covers slice scores -3.8 to 1.6 of -6 to 6: padded" in caplog.text


def test_montages_of_scans_that_cover_different_parts_line_up():
    steps = [
        CropBodyPartd("image", regressor=regressor()),
        Spacingd("image", (4.0, 4.0, 6.0), mode="bilinear", dtype=np.float32),
        ResizeWithPadOrCropd("image", (40, 40, 64)),
    ]
    whole, part = (
        Compose(steps)({"image": trunk(bottom, top, spacing=spacing)})["image"][0, 20, 15].numpy()
        for bottom, top, spacing in ((-300, 350, 3.0), (-60, 130, 5.0))
    )
    both = part > -58
    assert both.sum() > 25
    assert np.abs(whole - part)[both & (part < 125)].max() < 8


@pytest.mark.parametrize(("bottom", "top"), [(-300, 350), (-50, 120), (-50, 350)])
@pytest.mark.parametrize("axcodes", ["RAS", "LPS", "LPI"])
@pytest.mark.parametrize("reverse", [False, True])
def test_it_is_undone_by_monai_and_by_our_own_inversion(bottom: float, top: float, axcodes: str, reverse: bool):
    scan = trunk(bottom, top).flip(3) if reverse else trunk(bottom, top)
    volume = Orientationd("image", axcodes=axcodes, labels=None)({"image": scan})["image"]
    stored = MetaTensor(volume.as_tensor(), affine=volume.affine)
    transform = Compose(
        [
            Orientationd("image", axcodes="RAS", labels=None),
            CropBodyPartd("image", regressor=regressor(), repair=reverse),
            Spacingd("image", (4.0, 4.0, 6.0), mode="bilinear", dtype=np.float32),
            ResizeWithPadOrCropd("image", (40, 40, 64)),
        ]
    )
    data = transform({"image": stored})
    soft = torch.nn.functional.interpolate(torch.rand(1, 4, 10, 10, 16), size=(40, 40, 64), mode="trilinear")[0]
    soft = (8 * soft).softmax(0)
    plain = Invertd("pred", transform, orig_keys="image", nearest_interp=False)({**data, "pred": MetaTensor(soft)})
    ours = InvertLabelsd("pred", "image")({**data, "pred": soft})["pred"]
    assert ours.shape == stored.shape
    torch.testing.assert_close(ours.affine, stored.affine)
    inside = plain["pred"].as_tensor().sum(0) > 1e-3
    assert inside.any()
    assert (plain["pred"].argmax(0) == ours[0])[inside].float().mean() > 0.999


def test_slices_in_reverse_order_are_turned_if_asked(caplog: pytest.LogCaptureFixture):
    crop = CropBodyPartd(("image", "label"), regressor=regressor(), repair=True)
    volume = trunk(-300, 350)
    label = MetaTensor((volume > 0).as_tensor().to(torch.uint8), affine=volume.affine)
    plain = crop({"image": volume, "label": label})
    assert not caplog.text
    turned = crop({"image": volume.flip(3), "label": label.flip(3), "case_id": "a"})
    assert "case a: slices are in reverse order: turned for the network" in caplog.text
    for key in ("image", "label"):
        assert torch.equal(turned[key].as_tensor(), plain[key].as_tensor())


@pytest.mark.parametrize(
    ("axes", "repair", "reason"),
    [
        ([3], False, "has its slices in reverse order"),
        ([1, 3], False, "is upside down"),
        ([1, 3], True, "is upside down"),
    ],
)
def test_a_scan_that_is_something_else_is_refused_with_its_name(axes: list[int], repair: bool, reason: str):
    crop = CropBodyPartd("image", regressor=regressor(), repair=repair)
    scan = {"image": trunk(-150, 150).flip(axes), "case_id": "a"}
    with pytest.raises(ValueError, match=f"^case a: {reason}: slice scores grow upwards$"):
        crop(scan)


def test_what_has_no_image_stays_as_it_is():
    montage = {"montage": "a.png"}
    assert CropBodyPartd("image", regressor=regressor(), allow_missing_keys=True)(montage) == montage
    with pytest.raises(KeyError):
        CropBodyPartd("image", regressor=regressor())(montage)


def test_scores_in_the_wrong_order_are_an_error():
    with pytest.raises(ValueError, match=r"body_part_scores is \(6, -6\), expected 2 numbers, the upper end"):
        CropBodyPartd("image", regressor=regressor(), scores=(6, -6))
