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
def test_it_is_undone_by_monai_and_by_our_own_inversion(bottom: float, top: float, axcodes: str):
    volume = Orientationd("image", axcodes=axcodes, labels=None)({"image": trunk(bottom, top)})["image"]
    stored = MetaTensor(volume.as_tensor(), affine=volume.affine)
    transform = Compose(
        [
            Orientationd("image", axcodes="RAS", labels=None),
            CropBodyPartd("image", regressor=regressor()),
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


def test_a_scan_that_is_something_else_is_refused_with_its_name():
    crop = CropBodyPartd("image", regressor=regressor())
    with pytest.raises(ValueError, match=r"^case a: is upside down"):
        crop({"image": trunk(-150, 150).flip(3), "case_id": "a"})


def test_scores_in_the_wrong_order_are_an_error():
    with pytest.raises(ValueError, match="scores are 6 and -6, expected the upper end of the body first"):
        CropBodyPartd("image", regressor=regressor(), scores=(6, -6))
