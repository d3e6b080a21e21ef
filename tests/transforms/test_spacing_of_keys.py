"""That resampling minds its own keys."""

from __future__ import annotations

from pathlib import Path

import torch
from monai.data import MetaTensor
from monai.transforms import Spacingd

from custom_components.preprocessing import ct_preprocessing
from custom_components.transforms.spacing_of_keys import SpacingOfKeysd


def nifti() -> MetaTensor:
    image = MetaTensor(torch.rand(1, 6, 6, 6), affine=torch.diag(torch.tensor([2.0, 2.0, 2.0, 1.0])))
    image.meta["filename_or_obj"] = "/data/case_01.nii.gz"
    return image


def test_items_named_after_an_image_are_left_alone():
    others = {"image_path": "/data/case_01.nii.gz", "image_id": "case_01", "label_set": "btcv"}
    image = nifti()
    transform = SpacingOfKeysd("image", (1.0, 2.0, 3.0))
    done = transform({"image": image, **others})
    assert {key: done[key] for key in others} == others
    plain = Spacingd("image", (1.0, 2.0, 3.0))({"image": image})
    assert torch.equal(done["image"], plain["image"])
    assert torch.equal(done["image"].affine, plain["image"].affine)
    assert transform.inverse(done)["image"].shape == image.shape


def test_preprocessing_takes_what_comes_with_a_request(cohort: Path):
    path = str(next((cohort / "imagesTs").glob("*.nii.gz")))
    request = {"image": path, "image_path": path, "image_url": "http://somewhere", "device": "cpu", "label_tag": ""}
    done = ct_preprocessing(pixdim=(8, 8, 16), roi_size=(40, 40, 24))(dict(request))
    del request["image"]
    assert {key: done[key] for key in request} == request
    assert done["image"].shape == (1, 40, 40, 24)
