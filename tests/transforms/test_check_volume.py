from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import EnsureChannelFirst

from custom_components.transforms.check_volume import CheckVolumed, check_volume

VOLUME = torch.arange(24.0).reshape(2, 3, 4)


def image(voxels: torch.Tensor = VOLUME, affine: object = None, **meta: object) -> MetaTensor:
    affine = torch.eye(4, dtype=torch.float64) if affine is None else affine
    return MetaTensor(voxels, affine=affine, meta={"filename_or_obj": "a.nii", **meta})


def test_a_good_volume_passes_unchanged() -> None:
    checked = CheckVolumed("image")({"image": image(), "other": 1})
    assert checked["other"] == 1
    assert checked["image"].data_ptr() == VOLUME.data_ptr()
    assert checked["image"].shape == (2, 3, 4)


def test_trailing_axes_of_size_one_are_removed_and_the_channel_is_found_again() -> None:
    loaded = image(VOLUME[..., None, None], spatial_shape=np.array([2, 3, 4]), original_channel_dim=-1)
    checked = check_volume(loaded)
    assert checked.shape == (2, 3, 4)
    assert checked.data_ptr() == VOLUME.data_ptr()
    assert EnsureChannelFirst()(checked).shape == (1, 2, 3, 4)


@pytest.mark.parametrize("channel", [0, float("nan")])
def test_an_image_that_is_channel_first_already_stays_so(channel: float) -> None:
    checked = check_volume(image(VOLUME[None], original_channel_dim=channel))
    assert EnsureChannelFirst()(checked).shape == (1, 2, 3, 4)


def bad_affine(value: float, column: int = 1) -> torch.Tensor:
    affine = torch.eye(4, dtype=torch.float64)
    affine[:, column] = value
    return affine


@pytest.mark.parametrize(
    ("loaded", "reason"),
    [
        (image(VOLUME[0]), "size is 3 x 4: a 2D image, expected a 3D volume"),
        (image(VOLUME[..., :1]), "size is 2 x 3 x 1: a 2D image"),
        (image(VOLUME[:1]), "size is 1 x 3 x 4: a 2D image"),
        (image(VOLUME[None, ..., :1], original_channel_dim=0), "size is 2 x 3 x 1: a 2D image"),
        (image(VOLUME.expand(5, 2, 3, 4)), "size is 5 x 2 x 3 x 4: 4 volumes, expected one 3D volume"),
        (image(VOLUME[None], original_channel_dim=-1), "size is 1 x 2 x 3 x 4: 4 volumes"),
        (image(VOLUME[:, :0]), "size is 2 x 0 x 4, expected no empty axis"),
        (image(torch.zeros(0), spatial_shape=np.array([4, 0, 4])), "size is 4 x 0 x 4, expected no empty axis"),
        (image(VOLUME * math.nan), "24 of 24 voxels are NaN or infinite"),
        (image(VOLUME / (VOLUME != 7)), "1 of 24 voxels are NaN or infinite"),
        (image(torch.full((2, 3, 4), -1000.0)), "every voxel is -1000, expected an image"),
        (image(sform_code=np.array(0), qform_code=np.array(0)), "has no affine: sform_code and qform_code are 0"),
        (image(affine=bad_affine(0)), "affine is singular"),
        (image(affine=bad_affine(math.nan, 3)), "affine holds NaN or infinite values"),
        (image(affine=bad_affine(math.inf)), "affine holds NaN or infinite values"),
    ],
)
def test_what_is_not_one_finite_volume_is_refused_with_the_file_and_the_reason(loaded: MetaTensor, reason: str) -> None:
    with pytest.raises(ValueError, match="^a.nii: ") as caught:
        check_volume(loaded)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_of_the_two_codes_is_enough() -> None:
    check_volume(image(sform_code=np.array(0), qform_code=np.array(1)))


def test_a_plain_tensor_has_no_place_in_space() -> None:
    with pytest.raises(ValueError, match="Tensor without affine, expected a MetaTensor"):
        check_volume(VOLUME)  # type: ignore[arg-type]
